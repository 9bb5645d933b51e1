"""One picture on its way: a pass for each preprocessing spec, heads side by side, each once it has features."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from trunkline.core.errors import TrunklineError
from trunkline.core.exchange import EarlyAnswer, Features, FeatureSource, HeadQuestion, select
from trunkline.core.preprocess import PreprocessSpec
from trunkline.gateway.answers import Ask, Outcome
from trunkline.gateway.deadline import Deadline
from trunkline.gateway.directory import HeadEntry
from trunkline.gateway.passes import OF_THE_PICTURE, SharedPass, retrieved

_log = logging.getLogger(__name__)
Question = tuple[Ask, HeadEntry | TrunklineError]  # a head that could not be resolved has its error


class PictureRun:
    """What is asked about one picture, until every head has its outcome."""

    def __init__(
        self,
        source: FeatureSource,
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
        self._shared: dict[PreprocessSpec, SharedPass] = {}
        for ask, entry in questions:
            if isinstance(entry, HeadEntry):
                spec = entry.info.spec
                shared = self._shared.get(spec)
                if shared is None:
                    shared = self._shared[spec] = SharedPass(spec, source, image, deadline, self._needs)
                shared.needed_by.append((ask, entry))

    async def outcomes(self) -> list[Outcome]:
        """One for each question, in their order.

        Raises what a required head fails with and errors of the picture. However it ends, no pass and no head
        of it goes on.
        """
        try:
            if len(self._questions) == 1:
                ask, entry = self._questions[0]
                return [self._told(ask, await self._ask(ask, entry, alone=True))]
            if len(self._shared) == 1:
                await next(iter(self._shared.values())).extract_for_all()
            return await self._side_by_side()
        finally:
            for _, found in self.features():
                found.release()

    async def _side_by_side(self) -> list[Outcome]:
        # Required ones are begun first, so that they have the first places in every queue.
        order = sorted(range(len(self._questions)), key=lambda index: not self._questions[index][0].required)
        outcomes: dict[int, Outcome] = {}
        for index in filter(self._is_settled, order):
            outcomes[index] = await self._outcome(*self._questions[index])
        if len(outcomes) < len(order):
            outcomes |= await self._waited_for([index for index in order if index not in outcomes])
        return [outcomes[index] for index in range(len(order))]

    async def _waited_for(self, order: Sequence[int]) -> dict[int, Outcome]:
        """The outcomes of these questions, each in a task of its own."""
        heads = {index: asyncio.create_task(self._outcome(*self._questions[index])) for index in order}
        try:
            # One timer for all: a head with a budget has its own.
            done, late = await asyncio.wait(
                heads.values(), timeout=self._deadline.left_s(), return_when=asyncio.FIRST_EXCEPTION
            )
            for task in done:
                task.result()  # raises what costs the call
            return {
                index: self._late(*self._questions[index]) if task in late else task.result()
                for index, task in heads.items()
            }
        finally:
            self._cancel(heads.values())

    def _is_settled(self, index: int) -> bool:
        """Whether a question has its outcome without anything being waited for."""
        ask, entry = self._questions[index]
        return isinstance(entry, TrunklineError) or self._shared[entry.info.spec].is_settled(ask)

    def features(self) -> list[tuple[PreprocessSpec, Features]]:
        """What the passes that succeeded have made, in the order of the questions."""
        return [(spec, shared.found) for spec, shared in self._shared.items() if shared.found is not None]

    def _cancel(self, heads: "Iterable[asyncio.Task[Outcome]]") -> None:
        for task in heads:
            task.cancel()
            retrieved(task)
        for shared in self._shared.values():
            shared.cancel()

    async def _outcome(self, ask: Ask, entry: HeadEntry | TrunklineError) -> Outcome:
        return self._told(ask, await self._ask(ask, entry))

    def _told(self, ask: Ask, outcome: Outcome) -> Outcome:
        if ask.required and outcome.error is not None:
            raise outcome.error
        self._tell(outcome)
        return outcome

    def _late(self, ask: Ask, entry: HeadEntry | TrunklineError) -> Outcome:
        version = entry.info.version if isinstance(entry, HeadEntry) else ""
        return self._told(ask, Outcome(ask.head, version, error=self._deadline.missed_by(_answer_of(ask))))

    async def _ask(self, ask: Ask, entry: HeadEntry | TrunklineError, *, alone: bool = False) -> Outcome:
        if isinstance(entry, TrunklineError):
            return Outcome(ask.head, "", error=entry)
        deadline = self._deadline.within(ask.budget_s)
        try:
            shared = self._shared[entry.info.spec]
            found = await (shared.extract() if alone else shared.features(deadline))
            question = self._question(ask, entry, found, shared.early(ask))
            work = entry.runner.predict(question, deadline.left_s())
            if question.early is None and (alone or deadline is not self._deadline):
                work = deadline.bound(work, _answer_of(ask))
            answer = await work
        except OF_THE_PICTURE:
            raise
        except Exception as error:  # one failed head costs one outcome
            if not isinstance(error, TrunklineError):  # it ends as "internal error", so its text is kept here
                _log.error("bug behind the gateway", exc_info=error)
            return Outcome(ask.head, entry.info.version, error=error)
        return Outcome(ask.head, answer.version, answer=answer)

    def _question(self, ask: Ask, entry: HeadEntry, found: Features, early: EarlyAnswer | None) -> HeadQuestion:
        return HeadQuestion(
            head=entry.info.name,
            version=entry.info.version,
            features=select(found.arrays, entry.info.features),
            frame=found.frame,
            backbone_digest=found.backbone_digest,
            params=ask.params,
            required=self._needs(ask),
            early=early,
        )


def _needs_required(ask: Ask) -> bool:
    return ask.required


def _needs_each(ask: Ask) -> bool:
    return True


def _answer_of(ask: Ask) -> str:
    return f"the answer of head {ask.head!r}"
