"""Work that may never come back, such as a read from a disk that is away: in threads that hold up nothing else."""

import asyncio
import contextlib
import contextvars
import errno
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from trunkline.core.errors import ServiceUnavailableError

T = TypeVar("T")
_PLACE_S = 5.0


async def in_thread(work: Callable[[], T]) -> T:
    """As asyncio.to_thread, in a thread of its own: it takes no place from others and holds up no end of a loop."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(work)
        except BaseException as error:
            _post(loop, done, done.set_exception, error)
        else:
            _post(loop, done, done.set_result, result)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await done


def _post(
    loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]", act: Callable[[Any], None], given: Any
) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(lambda: None if done.done() else act(given))


class Places:
    """A bounded number of threads for work on one thing that may be away, such as a disk."""

    def __init__(self, what: str, at_most: int) -> None:
        self._what = what
        self._free = asyncio.Semaphore(at_most)

    async def ask(self, work: Callable[[], T]) -> T:
        """What work() finds. Raises ServiceUnavailableError where all threads have been busy for five seconds.

        Who is cancelled, as at a deadline, leaves the work to its thread, which keeps its place until it is done.
        """
        try:
            await asyncio.wait_for(self._free.acquire(), _PLACE_S)
        except TimeoutError:
            raise ServiceUnavailableError(
                f"{self._what} does not answer, and too many calls wait for it: try again"
            ) from None
        working = asyncio.ensure_future(in_thread(work))
        working.add_done_callback(self._done)
        return await asyncio.shield(working)

    def _done(self, working: "asyncio.Future[Any]") -> None:
        self._free.release()
        if not working.cancelled():
            working.exception()  # seen, also where nobody waits any more


class Reads(Generic[T]):
    """Reads by key, at most one of each key at a time: one that hangs holds one thread, however often it is asked."""

    def __init__(self, what: object, *, keep: bool = False) -> None:
        """what: the words for it in errors, such as a folder. keep: what nobody waited for is for the next take."""
        self._what, self._keep = what, keep
        self._lock = threading.Lock()
        self._under_way: dict[str, _Read[T]] = {}

    def take(self, key: str, work: Callable[[], T], within_s: float) -> T:
        """What work() finds, or what an earlier take of this key has begun, where that is still under way.

        Raises TimeoutError where it is not there within `within_s` seconds, and what work() raises.
        """
        with self._lock:
            read = self._under_way.get(key)
            if read is None or (read.over.is_set() and not self._keep):
                read = self._under_way[key] = _Read(work)
        if not read.over.wait(within_s):
            raise TimeoutError(errno.ETIMEDOUT, f"{self._what} has not answered for {within_s:.0f} s")
        with self._lock:
            if self._under_way.get(key) is read:
                del self._under_way[key]
        return read.result()

    def since_s(self, key: str) -> float:
        """For how long a read of this key has been under way, seconds; 0 where there is none."""
        with self._lock:
            read = self._under_way.get(key)
        return 0.0 if read is None else time.monotonic() - read.begun_at


class _Read(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self.begun_at = time.monotonic()
        self.over = threading.Event()
        self._work = work
        self._found: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="read", daemon=True).start()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return cast("T", self._found)

    def _run(self) -> None:
        try:
            self._found = self._work()
        except BaseException as error:
            self._error = error
        self.over.set()
