"""The processes that send: started together, given their parts of each step, and added up."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from trunkline.core.errors import ConfigurationError
from trunkline.loadtest.plan import Part, Setup, Step
from trunkline.loadtest.tally import Progress, Tally, merge, merge_progress

_LINE_BYTES = 64 * 1024 * 1024
_LEAD_S = 0.1  # so that all processes have their part before it begins
OnProgress = Callable[[Progress], None]


class Fleet:
    """Processes that wait for steps; see `fleet`."""

    def __init__(self, processes: list[Process]) -> None:
        self._processes = processes
        self._steps = 0

    async def run(self, step: Step, on_progress: OnProgress | None = None) -> Tally:
        """Do one step; returns once its last call has ended. Raises ConfigurationError where a process ends."""
        self._steps += 1
        start_at = time.time() + _LEAD_S
        so_far = [Progress() for _ in self._processes]

        async def one(index: int, process: Process) -> Tally:
            part = Part(step=step, number=self._steps, index=index, of=len(so_far), start_at=start_at)
            assert process.stdin is not None
            process.stdin.write(part.model_dump_json().encode() + b"\n")
            while "progress" in (said := await _line(process)):
                so_far[index] = Progress(**said["progress"])
                if on_progress is not None and index == 0:
                    on_progress(merge_progress(so_far))
            return Tally.model_validate(said["tally"])

        return merge(await asyncio.gather(*(one(*each) for each in enumerate(self._processes))))


@asynccontextmanager
async def fleet(setup: Setup) -> AsyncIterator[Fleet]:
    """The processes of a setup, ready to send. They are gone at the end, whatever they were doing."""
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(_started(setup, index)) for index in range(setup.processes)]
        for process in processes:
            await _line(process)
        yield Fleet(processes)


@asynccontextmanager
async def _started(setup: Setup, index: int) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "trunkline.loadtest.worker")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"setup": setup.model_dump(), "index": index}).encode() + b"\n")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise ConfigurationError("a process of the load test ended before its time; its own error is above")
    said: dict[str, Any] = json.loads(line)
    return said
