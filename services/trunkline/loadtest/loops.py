"""Closed loop: callers that ask again when they were answered. Open loop: calls leave at times of their own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import numpy as np

Answer = TypeVar("Answer")
Answer_contra = TypeVar("Answer_contra", contravariant=True)
Ask = Callable[[float], Awaitable[Answer]]  # timeout_s -> what became of the call
_PATIENCE_S = 60.0
_MAX_IN_FLIGHT = 4096


class Journal(Protocol[Answer_contra]):
    """Takes note of each call. Times are those of time.perf_counter, in seconds."""

    def sent(self, intended_s: float, now_s: float) -> None: ...

    def answered(self, answer: Answer_contra, intended_s: float, now_s: float) -> None: ...

    def drop(self) -> None: ...


async def closed_loop(
    ask: Ask[Answer], callers: int, seconds: float, journal: Journal[Answer], timeout_s: float = _PATIENCE_S
) -> float:
    """Returns the seconds that it took, the last answers included."""
    started_at = time.perf_counter()

    async def caller() -> None:
        while (sent_at := time.perf_counter()) < started_at + seconds:
            journal.answered(await ask(timeout_s), sent_at, time.perf_counter())

    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.perf_counter() - started_at


class _Places:
    """Bounds the calls in flight: an arrival waits for a place at most `wait_s`."""

    def __init__(self, places: int, wait_s: float) -> None:
        self._free = asyncio.Semaphore(places)
        self._wait_s = wait_s

    async def take(self, intended_s: float) -> bool:
        """Whether a place was found before the time of an arrival that was meant for `intended_s` is over."""
        if self._free.locked():
            try:
                async with asyncio.timeout(intended_s + self._wait_s - time.perf_counter()):
                    return await self._free.acquire()
            except TimeoutError:
                return False
        return await self._free.acquire()

    def give_back(self) -> None:
        self._free.release()


async def open_loop(
    ask: Ask[Answer],
    arrivals_s: np.ndarray,
    journal: Journal[Answer],
    timeout_s: float = _PATIENCE_S,
    max_in_flight: int = _MAX_IN_FLIGHT,
    wait_s: float = 0.0,
) -> float:
    """Send a call at each arrival, whatever became of those before. Returns the seconds until all had ended.

    arrivals_s: float (calls,), seconds from now. A call's deadline counts from its arrival. With `max_in_flight`
    calls under way an arrival waits for a place, at most `wait_s` seconds; then it is counted as dropped, not sent.
    """
    started_at = time.perf_counter()
    under_way: set[asyncio.Task[None]] = set()
    places = _Places(max_in_flight, wait_s)

    async def call(due_s: float) -> None:
        if not await places.take(due_s):
            return journal.drop()
        # Timers have steps of a millisecond: who leaves too early counts from then on, not from later.
        intended_s = min(due_s, now_s := time.perf_counter())
        journal.sent(intended_s, now_s)
        try:
            answer = await ask(max(0.0, due_s + timeout_s - now_s))
        finally:
            places.give_back()
        return journal.answered(answer, intended_s, time.perf_counter())

    for arrival_s in arrivals_s.tolist():
        await asyncio.sleep(max(0.0, started_at + arrival_s - time.perf_counter()))
        task = asyncio.create_task(call(started_at + arrival_s))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    while under_way:
        await asyncio.gather(*under_way)
    return time.perf_counter() - started_at
