"""Questions to the file system that may never be answered, such as those to a network disk that is away."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from trunkline.core.errors import DeadlineError, QueueFullError

CHECK_S = 20.0
_MOST = 8
T = TypeVar("T")


class Patience:
    """Asks in threads of its own, eight at most, so that none of them keeps others or the end of the process."""

    def __init__(self, most: int = _MOST) -> None:
        self._places = threading.BoundedSemaphore(most)

    async def ask(self, what: str, question: Callable[[], T], left_s: float | None) -> T:
        """The answer, or what it raises. left_s: what is left of the call's time, seconds; 20 at most are waited.

        Raises DeadlineError where it comes too late, QueueFullError where too many wait already.
        """
        if not self._places.acquire(blocking=False):
            raise QueueFullError(f"{what}: too many wait for the disk already: try again", retry_after_s=CHECK_S)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        # As daemons they end with the process, whatever they wait for.
        threading.Thread(target=self._answer, args=(question, answer, loop), name="check", daemon=True).start()
        patience_s = CHECK_S if left_s is None else min(CHECK_S, left_s)
        try:
            return await asyncio.wait_for(answer, patience_s)
        except TimeoutError as error:
            raise DeadlineError(f"{what}: the disk did not answer within {patience_s:.0f} s") from error

    def _answer(
        self, question: Callable[[], T], answer: "asyncio.Future[T]", loop: asyncio.AbstractEventLoop
    ) -> None:
        try:
            found = question()
        except BaseException as error:
            result: tuple[T | None, BaseException | None] = (None, error)
        else:
            result = (found, None)
        finally:
            self._places.release()
        try:
            loop.call_soon_threadsafe(_tell, answer, *result)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more


def _tell(answer: "asyncio.Future[Any]", found: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(found)
