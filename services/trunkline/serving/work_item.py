"""A piece of work for the worker threads."""

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Callable
from typing import Any

from trunkline.serving.admission import Lane


class WorkItem:
    """Work and the future of its caller, in the caller's event loop."""

    def __init__(
        self,
        work: Callable[[], Any],
        lane: Lane,
        loop: asyncio.AbstractEventLoop,
        timeout_s: float | None,
        weight: int = 0,
    ) -> None:
        """weight: bytes of memory that it takes, where it is large; 0 for all others."""
        self.work = work
        self.context = contextvars.copy_context()  # so that a log line of the work names the request
        self.lane = lane
        self.weight = weight
        self.timeout_s = timeout_s
        self.lent_s = 0.0  # of its thread's time, to what went before it
        self.done: asyncio.Future[Any] = loop.create_future()
        self._loop = loop
        self._queued_at = time.perf_counter()

    def is_over(self) -> bool:
        return self.timeout_s is not None and self.timeout_s <= 0

    def waited_s(self) -> float:
        return time.perf_counter() - self._queued_at

    def finish(self, result: Any) -> None:
        self.post(lambda: None if self.done.done() else self.done.set_result(result))

    def fail(self, error: BaseException) -> None:
        if isinstance(error, StopIteration):  # a future takes none
            error = RuntimeError("StopIteration out of a piece of work")
        self.post(lambda: None if self.done.done() else self.done.set_exception(error))

    def post(self, act: Callable[[], object]) -> None:
        """From any thread. Nobody waits any more where the loop is closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(act)
