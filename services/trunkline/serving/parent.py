"""What a process is told by the one that started it: to end with it, and that its port is kept for it."""

import ctypes
import os
import signal
import sys

PARENT = "TRUNKLINE_PARENT"  # the process with which this one ends
PORT_KEPT = "TRUNKLINE_PORT_KEPT"  # its parent holds the port that it is to listen on
PEER_KEY = "TRUNKLINE_PEER_KEY"  # a secret that the processes of one supervisor share, made for this run alone
_PR_SET_PDEATHSIG = 1


def told(*, port_kept: bool = False, key: str = "") -> dict[str, str]:
    """What to put into the environment of a process that this one starts, in its main thread.

    key: by which it knows the others that are told it; they are all on loopback.
    """
    return {PARENT: str(os.getpid()), PORT_KEPT: "1" if port_kept else "", PEER_KEY: key}


def end_with_parent() -> None:
    """Get a SIGTERM when the process that started this one ends, whatever ends it; exit where it has already."""
    parent = os.environ.pop(PARENT, "")  # not for what this one starts
    if not parent:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(0)


def port_is_kept() -> bool:
    """Whether the port of this process is bound by its parent, with SO_REUSEPORT: no other program gets it."""
    return bool(os.environ.get(PORT_KEPT))


def peer_key() -> str:
    """The secret of the processes of this one's supervisor; "" where it has none."""
    return os.environ.get(PEER_KEY, "")
