"""What a worker process does about its own life: it dies with its parent, and a SIGTERM unwinds it once."""

import ctypes
import os
import signal
import sys
from types import FrameType

from trunkline.jobs.local import PARENT

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Get a SIGTERM when the process that started this one dies; exit at once where it has already.

    Only for a worker that was started on the same machine; elsewhere, whatever runs it stops it.
    """
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if not parent_lives():
        sys.exit(0)


def parent_lives() -> bool:
    """Whether the process that started this one is still there."""
    parent = os.environ.get(PARENT)
    return parent is None or os.getppid() == int(parent)


class Sigterm:
    """The first SIGTERM raises SystemExit in the main thread; later ones must not break off what that cleans up."""

    def __init__(self) -> None:
        self.seen = False
        signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.seen:
            self.seen = True
            sys.exit(128 + number)


def ignore_sigterm() -> None:
    """From now on there is nothing to break off."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
