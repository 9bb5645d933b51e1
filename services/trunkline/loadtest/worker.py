"""One process that sends: python -m trunkline.loadtest.worker, a Setup on the first line of its input.

Each further line is a Part. It answers with JSON lines: {"ready": true} first, then for each part {"progress": …} as
it goes and {"tally": …}, or {"error": …} and its end.
"""

import asyncio
import gc
import itertools
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from trunkline.loadtest.caller import Answer, Caller, Requests
from trunkline.loadtest.journal import TallyJournal
from trunkline.loadtest.loops import closed_loop, open_loop
from trunkline.loadtest.mix import parse_mix, turns
from trunkline.loadtest.pictures import endless, made_pictures, read_pictures
from trunkline.loadtest.plan import Part, Setup
from trunkline.loadtest.tally import Tally
from trunkline.serving.ends import end_with
from trunkline.serving.loop import run_loop

_TELLS_EACH_S = 0.5


class Worker:
    """Sends what the parts of steps say, with its own requests."""

    def __init__(self, setup: Setup, index: int, caller: Caller) -> None:
        self._setup, self._caller = setup, caller
        pictures = pictures_of(setup)
        mark = f"{setup.mark}-{index}".encode() if setup.mark else None
        start = index * len(pictures) // setup.processes
        calls = turns(parse_mix(setup.mix), setup.seed + index)
        self._requests = Requests(calls, endless(pictures, start, mark), keep=mark is None)

    async def run(self, part: Part) -> Tally:
        """Do one part, from its start on."""
        await asyncio.sleep(max(0.0, part.start_at - time.time()))
        journal, cpu_s = TallyJournal(time.perf_counter()), time.process_time()
        teller = asyncio.create_task(_tell(journal))
        try:
            seconds = await self._loop(part, journal)
        finally:
            teller.cancel()
        return journal.tally(seconds, time.process_time() - cpu_s)

    async def _loop(self, part: Part, journal: TallyJournal) -> float:
        setup, load = self._setup, part.step.load
        timeout_s = part.step.timeout_s or setup.timeout_s
        if load.kind == "closed":
            return await closed_loop(self._ask, part.callers(load.callers), part.step.seconds, journal, timeout_s)
        arrivals_s = part.arrivals_s(load, setup.seed)
        most = part.callers(setup.max_in_flight)
        return await open_loop(self._ask, arrivals_s, journal, timeout_s, most, setup.wait_s)

    async def _ask(self, timeout_s: float) -> Answer:
        call, request = self._requests.next()
        return await self._caller.send(call, request, timeout_s)


def pictures_of(setup: Setup) -> list[bytes]:
    """The pictures that a run sends. Raises OSError or ServiceError where one cannot be sent."""
    if not setup.pictures:
        return made_pictures(setup.made, setup.seed)
    return read_pictures([Path(path) for path in setup.pictures])


async def main() -> None:
    config = json.loads(sys.stdin.readline())
    setup = Setup(**config["setup"])
    async with Caller(setup.target, setup.connections) as caller:
        worker = Worker(setup, config["index"], caller)
        _say(ready=True)
        gc.collect()
        gc.freeze()
        while line := await asyncio.to_thread(sys.stdin.readline):
            tally = await worker.run(Part.model_validate_json(line))
            _say(tally=tally.model_dump())


async def _tell(journal: TallyJournal) -> None:
    for _ in itertools.repeat(None):
        await asyncio.sleep(_TELLS_EACH_S)
        _say(progress=journal.progress().model_dump())


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    end_with(lambda: run_loop(main()))
