"""Questions of the same moment about the same picture: to one process they go in one call.

All get their answers with the last, so this is for heads that are quick.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from trunkline.core.exchange import Feature, HeadAnswer, HeadQuestion, RemoteFeature

SMALL_BYTES = 64 * 1024  # of features
Answer = HeadAnswer | Exception
Send = Callable[[Sequence[HeadQuestion], float | None], Awaitable[Sequence[Answer]]]


def is_small(features: Mapping[str, Feature]) -> bool:
    """Whether all of these features lie in the message itself and are few bytes."""
    parts = [value for value in features.values() if isinstance(value, RemoteFeature) and value.held is None]
    return len(parts) == len(features) and sum(len(part.message) for part in parts) < SMALL_BYTES


@dataclass
class _Waiting:
    question: HeadQuestion
    timeout_s: float | None
    answer: "asyncio.Future[HeadAnswer]"


class Together:
    """Collects the questions that are asked in one turn of the event loop, one group for each pass."""

    def __init__(self, send: Send) -> None:
        """send: asks all questions of a group and gives an answer, or an error, for each. What it raises all get."""
        self._send = send
        self._open: dict[tuple[int, bool], list[_Waiting]] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        """Raises what the head does, or what costs all of the group. A group that nobody waits for is cancelled."""
        loop = asyncio.get_running_loop()
        # All questions about a pass have its frame, the same object, which the group keeps alive. What a call can do
        # without is dropped first, so it has a group of its own.
        key = id(question.frame), question.required
        if key not in self._open:
            self._open[key] = []
            loop.call_soon(self._begin, key)
        waiting = _Waiting(question, timeout_s, loop.create_future())
        self._open[key].append(waiting)
        return await waiting.answer

    def _begin(self, key: tuple[int, bool]) -> None:
        group = [waiting for waiting in self._open.pop(key) if not waiting.answer.done()]
        if not group:
            return
        task = asyncio.create_task(self._answer(group))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

        def left(_: "asyncio.Future[HeadAnswer]") -> None:
            if all(waiting.answer.done() for waiting in group):
                task.cancel()

        for waiting in group:
            waiting.answer.add_done_callback(left)

    async def _answer(self, group: Sequence[_Waiting]) -> None:
        limits = [waiting.timeout_s for waiting in group]
        longest = None if None in limits else max(limit for limit in limits if limit is not None)
        answers: Sequence[Answer]
        try:
            answers = await self._send([waiting.question for waiting in group], longest)
        except Exception as error:
            answers = [error] * len(group)
        for waiting, answer in zip(group, answers, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)
