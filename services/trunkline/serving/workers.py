"""Threads that compute, with a bounded queue in which finishing work goes before new work."""

import asyncio
import contextvars
import itertools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, TypeVar

from trunkline.core.errors import DeadlineError, QueueFullError

T = TypeVar("T")


class Priority(IntEnum):
    """Lower goes first: a head ends a request that was begun, a backbone pass begins one."""

    STOP = -1
    HEAD = 0
    BACKBONE = 1


class WorkerPool:
    """`threads` threads, at most `max_held` pieces of work waiting or running.

    Work whose caller was cancelled or whose deadline passed is dropped from the queue, not run.
    """

    def __init__(self, threads: int, max_held: int) -> None:
        self._queue: queue.PriorityQueue[tuple[int, int, Callable[[], None]]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._max_held = max_held
        self._held = 0
        self._busy_s = 0.01  # running mean of a piece of work, for the hint when to retry
        self._threads = [
            threading.Thread(target=self._serve, name=f"worker-{index}", daemon=True) for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[[], T], priority: Priority, timeout_s: float | None = None) -> tuple[T, float]:
        """The result of work() and the milliseconds it waited.

        Raises QueueFullError at once where too much waits, DeadlineError where its turn would come after
        `timeout_s` seconds, and what work() raises.
        """
        if self._held >= self._max_held:
            retry_after_s = self._held * self._busy_s / len(self._threads)
            raise QueueFullError(
                f"{self._held} pieces of work are held, which is the limit: try again in {retry_after_s:.1f} s",
                retry_after_s=retry_after_s,
                limit=self._max_held,
            )
        future: Future[tuple[T, float]] = Future()
        self._held += 1
        try:
            self._queue.put((priority, next(self._order), self._piece(work, future, timeout_s)))
            return await asyncio.wrap_future(future)
        finally:
            self._held -= 1

    @property
    def held(self) -> int:
        """Pieces of work that wait or run."""
        return self._held

    @property
    def waiting(self) -> int:
        """Pieces of work in the queue, those that were cancelled meanwhile among them."""
        return self._queue.qsize()

    @property
    def limit(self) -> int:
        """Pieces of work that may be held."""
        return self._max_held

    def close(self) -> None:
        """Let running work end and stop the threads; work that still waits is cancelled."""
        for _ in self._threads:
            self._queue.put((Priority.STOP, next(self._order), _stop))
        for thread in self._threads:
            thread.join()

    def _piece(self, work: Callable[[], T], future: "Future[tuple[T, float]]", timeout_s: float | None) -> Any:
        queued_at = time.perf_counter()
        context = contextvars.copy_context()  # so that a log line of the work names the request

        def piece() -> None:
            if not future.set_running_or_notify_cancel():
                return
            started_at = time.perf_counter()
            waited_s = started_at - queued_at
            if timeout_s is not None and waited_s >= timeout_s:
                future.set_exception(DeadlineError(f"waited {waited_s:.2f} s for a place to run, then time was over"))
                return
            try:
                result = context.run(work)
            except BaseException as error:
                future.set_exception(error)
            else:
                self._busy_s += 0.05 * (time.perf_counter() - started_at - self._busy_s)
                future.set_result((result, waited_s * 1000))

        return piece

    def _serve(self) -> None:
        while True:
            _, _, piece = self._queue.get()
            if piece is _stop:
                return
            piece()


def _stop() -> None:
    """Marks the end of the queue for one thread."""
