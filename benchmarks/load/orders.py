"""What the load process can be told to do. Each order is a dictionary with the parameters of one of these."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.load.asker import Asker
from benchmarks.load.targets import Target
from trunkline.loadtest.loops import closed_loop, open_loop
from trunkline.loadtest.recorder import OK, Recorder
from trunkline.loadtest.schedule import poisson_arrivals

Started = Callable[[], None]


async def labels(asker: Asker, item: bytes, timeout_s: float = 60.0) -> dict[str, Any]:
    """Wait until the server can answer, and say what it answers."""
    try:
        return {"labels": await asker.labels(item, timeout_s)}
    except (LookupError, TimeoutError) as error:
        return {"absent": str(error)}


async def closed(asker: Asker, started: Started, callers: int, seconds: float, warm_s: float = 0.4) -> dict[str, Any]:
    """Closed loop, after a warm-up that does not count."""
    await closed_loop(asker.ask, callers, warm_s, Recorder())
    recorder = Recorder()
    started()
    cpu_s = time.process_time()
    took_s = await closed_loop(asker.ask, callers, seconds, recorder)
    return {**recorder.report(), "seconds": took_s, "cpu_s": time.process_time() - cpu_s}


async def opened(
    asker: Asker,
    started: Started,
    rate: float,
    seconds: float,
    seed: int,
    timeout_s: float = 60.0,
    warm_s: float = 0.4,
) -> dict[str, Any]:
    """Open loop with Poisson arrivals."""
    await closed_loop(asker.ask, 2, warm_s, Recorder())
    recorder = Recorder(deadline_s=timeout_s)
    arrivals_s = poisson_arrivals(rate, seconds, seed)
    started()
    cpu_s = time.process_time()
    took_s = await open_loop(asker.ask, arrivals_s, recorder, timeout_s)
    return {**recorder.report(), "sent": len(arrivals_s), "seconds": took_s, "cpu_s": time.process_time() - cpu_s}


async def burst(asker: Asker, target: Target, bad: bytes, good: int, timeout_s: float = 60.0) -> dict[str, Any]:
    """`good` pictures at once with a bad one in their middle: what became of each."""
    bad_call = target.calls(bad)
    asks = [asker.ask(timeout_s) for _ in range(good // 2)]
    asks.append(_code(asker, bad_call, timeout_s))
    asks.extend(asker.ask(timeout_s) for _ in range(good - good // 2))
    codes = await asyncio.gather(*asks)
    bad_code = codes.pop(good // 2)
    return {"good": dict(Counter(codes)), "lost": sum(code != OK for code in codes), "bad": bad_code}


async def mixed(
    askers: dict[str, Asker], bad: dict[str, list[Any]], started: Started, callers: int, seconds: float
) -> dict[str, Any]:
    """Callers that take turns over several kinds of questions. `bad`: calls that must be refused, by name."""
    codes: dict[str, Counter[str]] = {name: Counter() for name in (*askers, *bad)}

    async def good_one(name: str) -> None:
        codes[name][await askers[name].ask(30.0)] += 1

    async def bad_one(name: str) -> None:
        codes[name][await _code(next(iter(askers.values())), bad[name], 30.0)] += 1

    asks = [lambda name=name: good_one(name) for name in askers]
    asks.extend(lambda name=name: bad_one(name) for name in bad)
    started()
    await _take_turns(asks, callers, seconds)
    return {"codes": {name: dict(found) for name, found in codes.items()}}


async def _take_turns(asks: list[Callable[[], Awaitable[None]]], callers: int, seconds: float) -> None:
    """So many callers take turns over `asks`, which record what they get by themselves."""
    turn, ends_at = itertools.cycle(asks), time.perf_counter() + seconds

    async def caller() -> None:
        while time.perf_counter() < ends_at:
            await next(turn)()

    await asyncio.gather(*(caller() for _ in range(callers)))


async def _code(asker: Asker, calls: list[Any], timeout_s: float) -> str:
    return (await asker.send(calls, timeout_s))[0]
