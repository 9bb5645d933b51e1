"""The event loop of a serving process."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_LEFT_AFTER_S = 1.0


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run in uvloop, which takes less CPU for each call, where that can be had.

    What still runs in `asyncio.to_thread` at the end is left after a second: it may be a read that never comes back.
    """
    with asyncio.Runner(loop_factory=_factory()) as runner:
        runner.get_loop().set_default_executor(_Threads(thread_name_prefix="aside"))
        return runner.run(main)


class _Threads(ThreadPoolExecutor):
    """Those of `asyncio.to_thread`, whose end a loop waits for: for five minutes, or for ever."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        ends_at = time.monotonic() + _LEFT_AFTER_S
        for thread in self._threads if wait else ():
            thread.join(max(0.0, ends_at - time.monotonic()))


def set_up_forks() -> None:
    """Before gRPC is imported: its handlers at a fork are left out, in this process and those that it starts.

    uvloop starts processes by a fork that runs them, and a worker of the training service then dies now and then
    before it has begun. They are for processes that go on after a fork, and none here does.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def quieten_core() -> None:
    """Before gRPC is imported: its core writes a line of its own for what callers do wrong, such as compress."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for every system
        return None
    return uvloop.new_event_loop
