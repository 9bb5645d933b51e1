"""One picture on its way: a pass for each backbone and preprocessing spec, then the heads of each."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from trunkline.core.errors import TrunklineError
from trunkline.core.exchange import Features, HeadAnswer, HeadQuestion, select
from trunkline.core.preprocess import PreprocessSpec
from trunkline.gateway.answers import HeadRequest, Outcome
from trunkline.gateway.deadline import Deadline
from trunkline.gateway.directory import HeadEntry
from trunkline.gateway.passes import OF_THE_PICTURE, SharedPass, retrieved, share_picture

_log = logging.getLogger(__name__)
PassKey = tuple[str, PreprocessSpec]  # with the digest of the backbone
Question = tuple[HeadRequest, HeadEntry | TrunklineError]  # a head that could not be resolved has its error


class PictureRun:
    """What is asked about one picture, until every head has its outcome."""

    def __init__(
        self,
        image: bytes,
        questions: Sequence[Question],
        deadline: Deadline,
        tell: Callable[[Outcome], None],
    ) -> None:
        """`tell` gets each outcome as soon as it is there."""
        self._questions = questions
        self._deadline = deadline
        self._tell = tell
        # Who marks nothing as required prefers no head to another: then none of them is optional.
        any_required = any(ask.required for ask, _ in questions)
        # No method of this object: the passes would keep it alive, it them, and both the picture.
        self._needs = _needs_required if any_required else _needs_each
        self._outcomes: dict[str, Outcome] = {}  # by the name that a head was asked by
        self._passes: dict[PassKey, SharedPass] = {}
        for ask, entry in questions:
            if isinstance(entry, HeadEntry):
                key = _pass_of(entry)
                shared = self._passes.get(key)
                if shared is None:
                    shared = self._passes[key] = SharedPass(entry, image, deadline, self._needs)
                shared.needed_by.append((ask, entry))
        if len(self._passes) > 1:
            share_picture(self._passes.values())

    async def outcomes(self) -> list[Outcome]:
        """One for each question, in their order.

        Raises what a required head fails with and errors of the picture. However it ends, no pass and no head
        of it goes on.
        """
        try:
            if len(self._passes) == 1:
                (only,) = self._passes.values()
                if only.is_left_by_none:
                    await only.make()
            # Required ones are first, so that they have the first places in every queue.
            order = sorted(self._questions, key=lambda question: not question[0].required)
            waiting = self._unsettled(order)
            if len(waiting) == 1:
                await self._ask(*waiting[0], alone=True)
            elif waiting:
                await self._ask_all(waiting)
            return [self._outcomes[ask.head] for ask, _ in self._questions]
        finally:
            for shared in self._passes.values():
                shared.end()

    def made(self) -> list[SharedPass]:
        """The passes that succeeded, in the order of the questions."""
        return [shared for shared in self._passes.values() if shared.found is not None]

    # Asking ------------------------------------------------------------------------------------------------

    async def _ask_all(self, waiting: Sequence[tuple[HeadRequest, HeadEntry]]) -> None:
        """Pass by pass, side by side; a head with less time than the call goes its own way."""
        work: list[Coroutine[Any, Any, None]] = []
        by_pass: dict[PassKey, list[tuple[HeadRequest, HeadEntry]]] = {}
        for ask, entry in waiting:
            if self._deadline.within(ask.budget_s) is not self._deadline:
                work.append(self._ask(ask, entry))
            else:
                by_pass.setdefault(_pass_of(entry), []).append((ask, entry))
        work += [self._ask_of_pass(self._passes[key], asked) for key, asked in by_pass.items()]
        await self._side_by_side(work)
        for ask, entry in waiting:
            if ask.head not in self._outcomes:
                late = self._deadline.missed_by(_answer_of(ask))
                self._told(ask, Outcome(ask.head, entry.info.version, error=late))

    async def _ask_of_pass(self, shared: SharedPass, asked: Sequence[tuple[HeadRequest, HeadEntry]]) -> None:
        """The heads of a pass once it is made: those that are cheaper so in one call, others each in its own."""
        try:
            found = shared.found or await shared.features(self._deadline)
        except OF_THE_PICTURE:
            raise
        except Exception:  # each of them fails with it
            self._unsettled(asked)
            return
        work: list[Coroutine[Any, Any, None]] = []
        together: dict[tuple[int, bool], list[tuple[HeadRequest, HeadEntry]]] = {}
        for ask, entry in self._unsettled(asked):
            if entry.runner.is_cheaper_together(self._question(ask, entry, found)):
                # What the call can do without is dropped first, so it has a call of its own.
                together.setdefault((id(entry.runner), self._needs(ask)), []).append((ask, entry))
            else:
                work.append(self._ask(ask, entry))
        work += [self._ask_together(found, group) for group in together.values()]
        await self._side_by_side(work)

    async def _ask_together(self, found: Features, group: Sequence[tuple[HeadRequest, HeadEntry]]) -> None:
        if len(group) == 1:
            await self._ask(*group[0])
            return
        questions = [self._question(ask, entry, found) for ask, entry in group]
        answers: Sequence[HeadAnswer | Exception]
        try:
            answers = await group[0][1].runner.predict_all(questions, self._deadline.left_s())
        except Exception as error:
            answers = [error] * len(group)
        for (ask, entry), answer in zip(group, answers, strict=True):
            self._told(ask, _outcome(ask, entry, answer))

    async def _ask(self, ask: HeadRequest, entry: HeadEntry, *, alone: bool = False) -> None:
        """One head, once its pass is made. `alone`: in the task of the call, which nobody else looks after."""
        deadline = self._deadline.within(ask.budget_s)
        answer: HeadAnswer | Exception
        try:
            shared = self._passes[_pass_of(entry)]
            found = shared.found or await shared.features(deadline)
            if self._settle(ask, entry):
                return
            work = entry.runner.predict(self._question(ask, entry, found), deadline.left_s())
            if alone or deadline is not self._deadline:
                work = deadline.bound(work, _answer_of(ask))
            answer = await work
        except OF_THE_PICTURE:
            raise
        except Exception as error:  # one failed head costs one outcome
            answer = error
        self._told(ask, _outcome(ask, entry, answer))

    async def _side_by_side(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        """All of it until the time of the call is over; then, or where one raises, the rest is cancelled."""
        if not work:
            return
        tasks = [asyncio.create_task(each) for each in work]
        try:
            done, _ = await asyncio.wait(tasks, timeout=self._deadline.left_s(), return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()  # raises what costs the call
        finally:
            for task in tasks:
                task.cancel()
                retrieved(task)

    # Outcomes ----------------------------------------------------------------------------------------------

    def _unsettled(self, questions: Sequence[Question]) -> list[tuple[HeadRequest, HeadEntry]]:
        """Those that have to be waited for; the outcomes of all others are told."""
        return [
            (ask, entry) for ask, entry in questions if not self._settle(ask, entry) and isinstance(entry, HeadEntry)
        ]

    def _settle(self, ask: HeadRequest, entry: HeadEntry | TrunklineError) -> bool:
        """Tell the outcome of a question for which nothing has to be waited for."""
        if isinstance(entry, TrunklineError):
            self._told(ask, Outcome(ask.head, "", error=entry))
            return True
        shared = self._passes[_pass_of(entry)]
        quick = shared.answer(ask)
        found = shared.error or (None if quick is None else quick.error or quick.answer)
        if found is None:
            return False
        self._told(ask, _outcome(ask, entry, found))
        return True

    def _told(self, ask: HeadRequest, outcome: Outcome) -> None:
        if ask.required and outcome.error is not None:
            raise outcome.error
        self._outcomes[ask.head] = outcome
        self._tell(outcome)

    def _question(self, ask: HeadRequest, entry: HeadEntry, found: Features) -> HeadQuestion:
        return HeadQuestion(
            head=entry.info.name,
            version=entry.info.version,
            variant=entry.info.variant,
            features=select(found.arrays, entry.info.features),
            frame=found.frame,
            backbone_digest=found.backbone_digest,
            params=ask.params,
            required=self._needs(ask),
        )


def _outcome(ask: HeadRequest, entry: HeadEntry, answer: HeadAnswer | Exception) -> Outcome:
    if isinstance(answer, HeadAnswer):
        return Outcome(ask.head, answer.version, answer=answer)
    if not isinstance(answer, TrunklineError):  # it ends as "internal error", so its text is kept here
        _log.error("bug behind the gateway", exc_info=answer)
    return Outcome(ask.head, entry.info.version, error=answer)


def _pass_of(entry: HeadEntry) -> PassKey:
    return entry.info.backbone_digest, entry.info.spec


def _needs_required(ask: HeadRequest) -> bool:
    return ask.required


def _needs_each(ask: HeadRequest) -> bool:
    return True


def _answer_of(ask: HeadRequest) -> str:
    return f"the answer of head {ask.head!r}"
