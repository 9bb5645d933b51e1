"""Closed loop: callers that ask again when they were answered. Open loop: calls leave at times of their own."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable

import numpy as np

from benchmarks.load.recorder import Recorder

Ask = Callable[[float], Awaitable[str]]  # timeout_s -> status name
_PATIENCE_S = 60.0
_MAX_IN_FLIGHT = 4096


async def closed_loop(ask: Ask, callers: int, seconds: float, recorder: Recorder) -> float:
    """Returns the seconds that it took, the last answers included."""
    started_at = time.perf_counter()

    async def caller() -> None:
        while (sent_at := time.perf_counter()) < started_at + seconds:
            recorder.answered(await ask(_PATIENCE_S), sent_at, time.perf_counter())

    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.perf_counter() - started_at


async def open_loop(
    ask: Ask,
    arrivals_s: np.ndarray,
    recorder: Recorder,
    timeout_s: float = _PATIENCE_S,
    max_in_flight: int = _MAX_IN_FLIGHT,
) -> float:
    """Send a call at each arrival, whatever became of those before. Returns the seconds until all had ended.

    arrivals_s: float (calls,), seconds from now. A call's deadline counts from its arrival. Arrivals above
    `max_in_flight` are not sent but counted as dropped.
    """
    started_at = time.perf_counter()
    under_way: set[asyncio.Task[None]] = set()

    async def call(intended_s: float) -> None:
        recorder.sent(intended_s, now_s := time.perf_counter())
        left_s = max(0.0, intended_s + timeout_s - now_s)
        recorder.answered(await ask(left_s), intended_s, time.perf_counter())

    for arrival_s in arrivals_s.tolist():
        await asyncio.sleep(max(0.0, started_at + arrival_s - time.perf_counter()))
        if len(under_way) >= max_in_flight:
            recorder.dropped += 1
            continue
        task = asyncio.create_task(call(started_at + arrival_s))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    while under_way:
        await asyncio.gather(*under_way)
    return time.perf_counter() - started_at


async def mixed_loop(asks: list[Callable[[], Awaitable[None]]], callers: int, seconds: float) -> None:
    """So many callers take turns over `asks`, which record what they get by themselves."""
    turn, ends_at = itertools.cycle(asks), time.perf_counter() + seconds

    async def caller() -> None:
        while time.perf_counter() < ends_at:
            await next(turn)()

    await asyncio.gather(*(caller() for _ in range(callers)))
