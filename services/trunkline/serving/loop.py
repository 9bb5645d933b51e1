"""The event loop of a serving process."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run in uvloop, which takes less CPU for each call, where that can be had."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(main)


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
