"""A process with bounds on its time and memory, which ends with who waits for it."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from trunkline.core.watch import LOOK_S, resident_bytes
from trunkline.jobs.local import start_process

_LONGEST_ANSWER = 16 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Bounds:
    """time_s: seconds from its start. memory: bytes that it may have in memory."""

    time_s: float
    memory: int


class OutOfTimeError(Exception):
    """The process took longer than it may, and was ended."""


class OutOfMemoryError(Exception):
    """The process had more memory than it may, and was ended."""


async def run_bounded(
    arguments: Sequence[str], environment: Mapping[str, str], cpus: Sequence[int], question: bytes, bounds: Bounds
) -> tuple[bytes, int]:
    """What `python ARGUMENTS` writes on standard output when it gets `question` on standard input, and its status.

    Raises OutOfTimeError and OutOfMemoryError. The process and all that it started are gone afterwards.
    """
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await start_process(arguments, environment, cpus, **pipes)
    talk = asyncio.create_task(_talk(process, question))
    ends_at = asyncio.get_running_loop().time() + bounds.time_s
    try:
        while not talk.done():
            await asyncio.wait((talk,), timeout=LOOK_S)
            if resident_bytes(process.pid) > bounds.memory:
                raise OutOfMemoryError
            if asyncio.get_running_loop().time() > ends_at:
                raise OutOfTimeError
        return talk.result(), await process.wait()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        talk.cancel()
        await asyncio.gather(talk, return_exceptions=True)
        await process.wait()


async def _talk(process: asyncio.subprocess.Process, question: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it has ended: its status says more
        process.stdin.write(question)
        await process.stdin.drain()
    process.stdin.close()
    answer = b""
    while len(answer) <= _LONGEST_ANSWER and (more := await process.stdout.read(65_536)):
        answer += more
    return answer
