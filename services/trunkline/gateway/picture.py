"""One picture on its way: a pass for each preprocessing spec, heads side by side, each once it has features."""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trunkline.core.errors import ImageTooLargeError, InvalidImageError, TrunklineError
from trunkline.core.exchange import EarlyAnswer, FeatureRequest, Features, FeatureSource, HeadQuestion, select
from trunkline.core.preprocess import PreprocessSpec
from trunkline.gateway.answers import Ask, Outcome, Pass
from trunkline.gateway.deadline import Deadline
from trunkline.gateway.directory import HeadEntry
from trunkline.gateway.early import EarlyAnswers

_log = logging.getLogger(__name__)
# Bad for every head; any other error of a pass costs the heads of its spec.
_OF_THE_PICTURE = (InvalidImageError, ImageTooLargeError)

Question = tuple[Ask, HeadEntry | TrunklineError]  # a head that could not be resolved has its error


@dataclass
class _Shared:
    """The pass for a spec, and the heads that need it."""

    spec: PreprocessSpec
    needed_by: list[tuple[Ask, HeadEntry]] = field(default_factory=list)
    running: "asyncio.Task[Features] | None" = None
    found: Features | None = None
    error: Exception | None = None
    early: EarlyAnswers | None = None


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
        self._source = source
        self._image = image
        self._questions = questions
        self._deadline = deadline
        self._tell = tell
        # Who marks nothing as required prefers no head to another: then none of them is optional.
        self._any_required = any(ask.required for ask, _ in questions)
        self._shared: dict[PreprocessSpec, _Shared] = {}
        for ask, entry in questions:
            if isinstance(entry, HeadEntry):
                spec = entry.info.spec
                self._shared.setdefault(spec, _Shared(spec)).needed_by.append((ask, entry))

    async def outcomes(self) -> list[Outcome]:
        """One for each question, in their order.

        Raises what a required head fails with and errors of the picture. However it ends, no pass and no head
        of it goes on.
        """
        try:
            if len(self._questions) == 1:
                ask, entry = self._questions[0]
                return [self._told(ask, await self._ask(ask, entry, alone=True))]
            await self._pass_for_all()
            return await self._side_by_side()
        finally:
            for found in self.features().values():
                found.release()

    async def _pass_for_all(self) -> None:
        """Where there is but one pass, and no head may leave it: no task for it, and none that waits for it."""
        if len(self._shared) != 1:
            return
        (shared,) = self._shared.values()
        if any(self._deadline.within(ask.budget_s) is not self._deadline for ask, _ in shared.needed_by):
            return
        try:
            await self._extract(shared)
        except _OF_THE_PICTURE:
            raise
        except Exception as error:
            shared.error = error

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
        if isinstance(entry, TrunklineError):
            return True
        shared = self._shared[entry.info.spec]
        return shared.error is not None or (shared.found is not None and _early(shared, ask) is not None)

    def features(self) -> Mapping[PreprocessSpec, Features]:
        """What the passes that succeeded have made, in the order of the questions."""
        return {spec: shared.found for spec, shared in self._shared.items() if shared.found is not None}

    def _cancel(self, heads: "Iterable[asyncio.Task[Outcome]]") -> None:
        for task in heads:
            task.cancel()
            _retrieved(task)
        for shared in self._shared.values():
            if shared.running is not None:
                shared.running.cancel()

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
            found = await (self._extract(shared) if alone else self._features(shared, deadline))
            question = self._question(ask, entry, found, _early(shared, ask))
            work = entry.runner.predict(question, deadline.left_s())
            if question.early is None and (alone or deadline is not self._deadline):
                work = deadline.bound(work, _answer_of(ask))
            answer = await work
        except _OF_THE_PICTURE:
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

    def _needs(self, ask: Ask) -> bool:
        return ask.required or not self._any_required

    async def _features(self, shared: _Shared, deadline: Deadline) -> Features:
        """The pass of a spec, which the first head that needs it starts for all of them."""
        if shared.error is not None:
            raise shared.error
        if shared.found is not None:
            return shared.found
        if shared.running is None:
            shared.running = asyncio.create_task(self._extract(shared))
            shared.running.add_done_callback(_retrieved)
        if deadline is self._deadline:
            return await shared.running
        # A head that is late leaves the pass to the others.
        return await deadline.bound(asyncio.shield(shared.running), "the pass")

    async def _extract(self, shared: _Shared) -> Features:
        """Its pass has the longest time of the heads that need it."""
        shared.early = self._early_answers(shared)
        request = FeatureRequest(
            self._image,
            shared.spec,
            tuple(dict.fromkeys(name for _, entry in shared.needed_by for name in entry.info.features)),
            required=any(self._needs(ask) for ask, _ in shared.needed_by),
            arenas=frozenset.intersection(*(entry.runner.arenas for _, entry in shared.needed_by)),
            then=shared.early,
        )
        deadline = max((self._deadline.within(ask.budget_s) for ask, _ in shared.needed_by), key=Deadline.left_s)
        shared.found = await deadline.bound(self._source.extract(request, deadline.left_s()), "the pass")
        return shared.found

    def _early_answers(self, shared: _Shared) -> EarlyAnswers | None:
        """Those that the call needs, for what it can do without waits for a place: under pressure it gets none."""
        shortcuts = {}
        for ask, entry in shared.needed_by:
            shortcut = entry.runner.shortcut(entry.info.name, entry.info.version, ask.params)
            if shortcut is not None and self._needs(ask):
                shortcuts[ask.head] = entry, shortcut
        return EarlyAnswers(shortcuts) if shortcuts else None


def _early(shared: _Shared, ask: Ask) -> EarlyAnswer | None:
    return shared.early.get(ask) if shared.early is not None else None


def _answer_of(ask: Ask) -> str:
    return f"the answer of head {ask.head!r}"


def pass_of(spec: PreprocessSpec, found: Features) -> Pass:
    return Pass(_fingerprint(spec), found.queue_ms, found.decode_ms, found.backbone_ms)


@functools.lru_cache(maxsize=256)
def _fingerprint(spec: PreprocessSpec) -> str:
    return spec.fingerprint


def _retrieved(task: "asyncio.Task[Any]") -> None:
    """An error that nobody waits for any more is not reported as lost."""
    if task.done() and not task.cancelled():
        task.exception()
