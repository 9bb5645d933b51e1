"""Workers as processes of this machine, with less than its cores and a low priority, so that serving stays fast."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trunkline.core.cpu import available_cores
from trunkline.jobs.launcher import Launch, WorkerStatus
from trunkline.serving.ends import fate_of

PARENT = "TRUNKLINE_WORKER_PARENT"  # the process with which a local worker dies
_NICE = 10


class LocalLauncher:
    """cores: how many a worker may use; 0 takes all that this process may use but one, at least one."""

    def __init__(self, cores: int = 0) -> None:
        self._cpus = cpus_for(cores)
        self._children: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, launch: Launch) -> str:
        process = await start_process(launch.arguments, launch.environment, self._cpus)
        handle = f"local:{socket.gethostname()}:{process.pid}:{_started(process.pid)}"
        self._children[handle] = process
        return handle

    async def look(self, handle: str) -> WorkerStatus:
        child = self._children.get(handle)
        if child is not None and child.returncode is None:
            return WorkerStatus(alive=True)
        if child is not None:
            del self._children[handle]
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)  # helpers that it could not end itself
            return WorkerStatus(alive=False, fate=fate_of(child.returncode or 0))
        pid = _pid_here(handle)
        if pid is None:
            return WorkerStatus(alive=None)
        return WorkerStatus(alive=_is_same(pid, handle), fate="died with the training service")

    async def stop(self, handle: str, *, force: bool) -> None:
        pid = _pid_here(handle)
        child = self._children.get(handle)
        if pid is None or not (_is_same(pid, handle) if child is None else child.returncode is None):
            return
        number = signal.SIGKILL if force else signal.SIGTERM
        with suppress(ProcessLookupError, PermissionError):
            # Helpers of the worker, such as those that load data, follow the worker; by force all of them go.
            if force:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)


async def start_process(
    arguments: Sequence[str], environment: Mapping[str, str], cpus: Sequence[int], **pipes: Any
) -> asyncio.subprocess.Process:
    """`python ARGUMENTS` on these processors, at a low priority, leader of a process group of its own."""
    # Started from the event loop's own thread: on Linux a child dies with the thread that made it.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**os.environ, **environment, PARENT: str(os.getpid())},
        start_new_session=True,
        **{"stdin": asyncio.subprocess.DEVNULL, **pipes},
    )
    _restrain(process.pid, cpus)
    return process


def cpus_for(cores: int) -> Sequence[int]:
    """The last processors of this process: `cores` of them; for 0 all but one, at least one; () where unknown."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    own = sorted(os.sched_getaffinity(0))
    return own[-max(1, cores or available_cores() - 1) :]


def _restrain(pid: int, cpus: Sequence[int]) -> None:
    """Before the worker has a second thread; its threads and processes inherit both."""
    with suppress(ProcessLookupError, PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICE)
    with suppress(ProcessLookupError, PermissionError):
        if cpus:
            os.sched_setaffinity(pid, cpus)


def _pid_here(handle: str) -> int | None:
    """The process id in a handle of this machine, else None."""
    parts = handle.split(":")
    if len(parts) != 4 or parts[0] != "local" or parts[1] != socket.gethostname():
        return None
    return int(parts[2])


def _is_same(pid: int, handle: str) -> bool:
    """Whether the process of this id is still the one of the handle, not a later one."""
    started = _started(pid)
    return started != "" and started == handle.rpartition(":")[2]


def _started(pid: int) -> str:
    """When a process was started, in ticks since boot; "" for one that is gone or only waits to be collected."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
