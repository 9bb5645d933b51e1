"""Threads for what waits for a database: of its own, so that a database that hangs costs nobody else a thread."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

from trunkline.core.errors import ServiceUnavailableError

_COUNT: Final = 4
_MOST_WAITING: Final = 1024
_LAST_S: Final = 5.0
WITHIN_S: Final = 15.0  # longer than a lock is waited for, shorter than the usual deadline of a call
P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Threads:
    """Runs functions for the coroutines of one event loop.

    The threads begin with the first call. They are daemons: one that hangs for ever keeps no process from its end.
    """

    def __init__(
        self,
        what: str,
        count: int = _COUNT,
        most_waiting: int = _MOST_WAITING,
        within_s: float | None = WITHIN_S,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """`what` names the database in errors; within_s: that a call may take, from being asked; None for any time.

        begin: called in each thread first.
        """
        self._what = what
        self._count = count
        self._most_waiting = most_waiting
        self._within_s = within_s
        self._begin = begin
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._open: set[Future[Any]] = set()
        self._late: set[Future[Any]] = set()  # those that nobody waits for any more, and that have not ended
        self._started = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What function(...) returns or raises.

        Raises ServiceUnavailableError where it takes too long, or too many wait.
        """
        if len(self._late) >= self._count or len(self._open) >= self._most_waiting:
            raise ServiceUnavailableError(f"the {self._what} does not answer; try again")
        future: Future[T] = Future()
        self._open.add(future)
        loop = asyncio.get_running_loop()
        future.add_done_callback(partial(self._ended, loop))
        context = contextvars.copy_context()
        self._work.put((future, partial(context.run, partial(function, *args, **kwargs))))
        self._start()
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(_look_at)
        try:
            done, _ = await asyncio.wait({waiting}, timeout=self._within_s)
        except asyncio.CancelledError:
            waiting.cancel()
            raise
        if done:
            return waiting.result()
        self._give_up(future)
        raise ServiceUnavailableError(f"the {self._what} does not answer in time; try again")

    async def close(self, last: Callable[[], None] = lambda: None) -> None:
        """Do the last thing, where that is possible within seconds, and let the threads end."""
        with suppress(ServiceUnavailableError, TimeoutError):
            await asyncio.wait_for(self.run(last), _LAST_S)
        for _ in range(self._count if self._started else 0):
            self._work.put(None)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            for number in range(self._count):
                name = f"{self._what}-{number}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        self._begin()
        while (work := self._work.get()) is not None:
            future, call = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # it is that of whoever waits
                future.set_exception(error)
            del work, future, call  # what was asked is not kept until the next one

    def _give_up(self, future: Future[Any]) -> None:
        if not future.cancel() and not future.done():
            if not self._late:
                _log.warning("the %s has not answered a call for more than %g s", self._what, self._within_s)
            self._late.add(future)

    def _ended(self, loop: asyncio.AbstractEventLoop, future: Future[Any]) -> None:
        def forget() -> None:
            self._open.discard(future)
            self._late.discard(future)

        try:
            loop.call_soon_threadsafe(forget)
        except RuntimeError:  # the loop has ended
            forget()


def _look_at(waiting: "asyncio.Future[Any]") -> None:
    """Nobody else may look at the error of a call that was given up."""
    if not waiting.cancelled():
        waiting.exception()
