"""Questions to the file system that may never be answered, such as those to a network disk that is away."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from trunkline.core.errors import DeadlineError, QueueFullError
from trunkline.serving.reads import in_thread

CHECK_S = 20.0
_MOST = 8
T = TypeVar("T")


class Patience:
    """Asks in threads of its own, eight at most, so that none of them keeps others or the end of the process."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._asked: set[asyncio.Future[Any]] = set()

    async def ask(self, what: str, question: Callable[[], T], left_s: float | None) -> T:
        """The answer, or what it raises. left_s: what is left of the call's time, seconds; 20 at most are waited.

        Raises DeadlineError where it comes too late, QueueFullError where too many wait already.
        """
        if len(self._asked) >= self._most:
            raise QueueFullError(
                f"{what}: too many calls already wait for the disk: try again", retry_after_s=CHECK_S
            )
        answer = asyncio.ensure_future(in_thread(question))
        self._asked.add(answer)
        answer.add_done_callback(self._answered)
        patience_s = CHECK_S if left_s is None else min(CHECK_S, left_s)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), patience_s)
        except TimeoutError as error:
            if answer.done():
                raise  # the question's own
            raise DeadlineError(f"{what}: the disk did not answer within {patience_s:.0f} s") from error

    def _answered(self, answer: "asyncio.Future[Any]") -> None:
        self._asked.discard(answer)
        if not answer.cancelled():
            answer.exception()  # seen, also where nobody waits any more
