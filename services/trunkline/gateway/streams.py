"""Streams of questions, many in flight: answers leave as they are ready; where too many are open, reading stops."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from trunkline.core.errors import ServiceUnavailableError
from trunkline.serving.budget import COPIES, ByteBudget, Hold

Q = TypeVar("Q")  # a question, as it was read
A = TypeVar("A")  # a part of an answer
Work = Callable[[Q, Callable[[A], None]], Awaitable[None]]


class Streams:
    """All streams of a process, each with at most `in_flight` questions that are read and not wholly answered."""

    def __init__(self, in_flight: int, budget: ByteBudget) -> None:
        self._in_flight = in_flight
        self._budget = budget
        self._open: set[_Stream[Any, Any]] = set()
        self._started = self._stopping = False

    def start(self) -> None:
        """Take streams from now on. Before, who goes on with a stream would get errors for all of the rest."""
        self._started = True

    def stop(self) -> None:
        """Read nothing more; each stream ends once what it has read is answered, and no new one begins."""
        self._stopping = True
        for stream in self._open:
            stream.stop()

    async def answer(
        self, questions: AsyncIterable[Q], work: "Work[Q, A]", size_of: Callable[[Q], int]
    ) -> AsyncIterator[A]:
        """What work(question, send) sends, for all questions side by side, until all are answered.

        The bytes of a question, `size_of`, are held from the budget until it is answered; it waits until they fit.
        `work` raises nothing: what fails is a part of its answer. Raises ServiceUnavailableError where the process
        starts or stops, what reading raises, and cancels all work where it is cancelled itself.
        """
        if not self._started:
            raise ServiceUnavailableError("the gateway is not ready yet: try again", service="gateway")
        if self._stopping:
            raise _stops()
        stream = _Stream(questions, work, size_of, self._in_flight, self._budget)
        self._open.add(stream)
        try:
            async for part in stream.parts():
                yield part
        finally:
            self._open.discard(stream)
            stream.close()


class _End:
    """Marks in the queue of parts that a question has all of its answer, or, as END, the stream."""


_ANSWERED, _END = _End(), _End()


class _Stream(Generic[Q, A]):
    def __init__(
        self,
        questions: AsyncIterable[Q],
        work: "Work[Q, A]",
        size_of: Callable[[Q], int],
        in_flight: int,
        budget: ByteBudget,
    ) -> None:
        self._questions = questions
        self._work = work
        self._size_of = size_of
        self._budget = budget
        self._places = asyncio.Semaphore(in_flight)
        self._parts: asyncio.Queue[A | _End] = asyncio.Queue()
        self._running: set[asyncio.Task[None]] = set()
        self._stopped = self._read_all = False
        # It is never cancelled in the middle of a read, which gRPC does not bear: it ends when its call has.
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(self._has_read)

    async def parts(self) -> AsyncIterator[A]:
        while (part := await self._parts.get()) is not _END:
            if isinstance(part, _End):
                self._places.release()  # only now, so that who does not take its answers gets no further ones
            else:
                yield part
        if not self._read_all:
            if self._reader.done():
                self._reader.result()
            raise _stops()

    def stop(self) -> None:
        self._stopped = True
        self._end_if_answered()

    def close(self) -> None:
        self._stopped = True
        self._places.release()
        for task in self._running:
            task.cancel()

    async def _read(self) -> None:
        await self._places.acquire()
        async for question in self._questions:
            if self._stopped:
                return
            held = await self._budget.hold_in_time(COPIES * self._size_of(question))
            if self._stopped:
                held.release()
                return
            self._begin(question, held)
            await self._places.acquire()
            if self._stopped:
                return
        self._read_all = True

    def _has_read(self, reader: "asyncio.Task[None]") -> None:
        if not reader.cancelled():
            reader.exception()  # where the stream is closed, nobody else looks
        self._end_if_answered()

    def _begin(self, question: Q, held: Hold) -> None:
        task = asyncio.create_task(self._answer(question))
        self._running.add(task)
        task.add_done_callback(lambda _: held.release())
        task.add_done_callback(self._answered)

    async def _answer(self, question: Q) -> None:
        await self._work(question, self._parts.put_nowait)

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._parts.put_nowait(_ANSWERED)
        self._end_if_answered()

    def _end_if_answered(self) -> None:
        if not self._running and (self._stopped or self._reader.done()):
            self._parts.put_nowait(_END)


def _stops() -> ServiceUnavailableError:
    return ServiceUnavailableError("the gateway stops: send the unanswered images again", service="gateway")
