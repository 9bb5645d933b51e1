"""One picture on its way: a pass for each preprocessing spec, heads side by side, each once it has features."""

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping, Sequence

from trunkline.core.errors import ImageTooLargeError, InvalidImageError, TrunklineError
from trunkline.core.exchange import FeatureRequest, Features, FeatureSource, HeadQuestion
from trunkline.core.preprocess import PreprocessSpec
from trunkline.gateway.answers import Ask, Outcome, Pass
from trunkline.gateway.deadline import Deadline
from trunkline.gateway.directory import HeadEntry

_log = logging.getLogger(__name__)
# Bad for every head; any other error of a pass costs the heads of its spec.
_OF_THE_PICTURE = (InvalidImageError, ImageTooLargeError)

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
        self._source = source
        self._image = image
        self._questions = questions
        self._deadline = deadline
        self._tell = tell
        self._passes: dict[PreprocessSpec, asyncio.Task[Features]] = {}
        self._found: dict[PreprocessSpec, Features] = {}
        # Who marks nothing as required prefers no head to another: then none of them is optional.
        self._any_required = any(ask.required for ask, _ in questions)

    async def outcomes(self) -> list[Outcome]:
        """One for each question, in their order.

        Raises what a required head fails with and errors of the picture. However it ends, no pass and no head
        of it goes on.
        """
        if len(self._questions) == 1:
            return [await self._outcome(*self._questions[0])]
        # Required ones are begun first, so that they have the first places in every queue.
        order = sorted(range(len(self._questions)), key=lambda index: not self._questions[index][0].required)
        heads = {index: asyncio.create_task(self._outcome(*self._questions[index])) for index in order}
        try:
            await asyncio.gather(*heads.values())
        finally:
            for task in (*heads.values(), *self._passes.values()):
                task.cancel()
        return [heads[index].result() for index in range(len(heads))]

    def features(self) -> Mapping[PreprocessSpec, Features]:
        """What the passes that succeeded have made, in the order of the questions."""
        specs = dict.fromkeys(entry.info.spec for _, entry in self._resolved())
        return {spec: self._found[spec] for spec in specs if spec in self._found}

    async def _outcome(self, ask: Ask, entry: HeadEntry | TrunklineError) -> Outcome:
        outcome = await self._ask(ask, entry)
        if ask.required and outcome.error is not None:
            raise outcome.error
        self._tell(outcome)
        return outcome

    async def _ask(self, ask: Ask, entry: HeadEntry | TrunklineError) -> Outcome:
        if isinstance(entry, TrunklineError):
            return Outcome(ask.head, "", error=entry)
        deadline = self._deadline.within(ask.budget_s)
        try:
            found = await self._features(entry.info.spec, deadline)
            work = entry.runner.predict(self._question(ask, entry, found), deadline.left_s())
            answer = await deadline.bound(work, f"the answer of head {ask.head!r}")
        except _OF_THE_PICTURE:
            raise
        except Exception as error:  # one failed head costs one outcome
            if not isinstance(error, TrunklineError):  # it ends as "internal error", so its text is kept here
                _log.error("bug behind the gateway", exc_info=error)
            return Outcome(ask.head, entry.info.version, error=error)
        return Outcome(ask.head, answer.version, answer=answer)

    def _question(self, ask: Ask, entry: HeadEntry, found: Features) -> HeadQuestion:
        return HeadQuestion(
            head=entry.info.name,
            version=entry.info.version,
            features={name: found.arrays[name] for name in entry.info.features},
            frame=found.frame,
            backbone_digest=found.backbone_digest,
            params=ask.params,
            required=ask.required or not self._any_required,
        )

    async def _features(self, spec: PreprocessSpec, deadline: Deadline) -> Features:
        """The pass of a spec, which the first head that needs it starts for all of them."""
        if len(self._questions) == 1:
            return await self._extract(spec)
        running = self._passes.get(spec)
        if running is None:
            running = self._passes[spec] = asyncio.create_task(self._extract(spec))
            running.add_done_callback(_retrieved)
        # A head that is late leaves the pass to the others.
        return await deadline.bound(asyncio.shield(running), "the pass")

    async def _extract(self, spec: PreprocessSpec) -> Features:
        """Its pass has the longest time of the heads that need it."""
        needed = [(ask, entry) for ask, entry in self._resolved() if entry.info.spec == spec]
        request = FeatureRequest(
            self._image,
            spec,
            tuple(dict.fromkeys(name for _, entry in needed for name in entry.info.features)),
            required=not self._any_required or any(ask.required for ask, _ in needed),
        )
        deadline = max((self._deadline.within(ask.budget_s) for ask, _ in needed), key=Deadline.left_s)
        found = await deadline.bound(self._source.extract(request, deadline.left_s()), "the pass")
        self._found[spec] = found
        return found

    def _resolved(self) -> list[tuple[Ask, HeadEntry]]:
        return [(ask, entry) for ask, entry in self._questions if isinstance(entry, HeadEntry)]


def pass_of(spec: PreprocessSpec, found: Features) -> Pass:
    return Pass(_fingerprint(spec), found.queue_ms, found.decode_ms, found.backbone_ms)


@functools.lru_cache(maxsize=256)
def _fingerprint(spec: PreprocessSpec) -> str:
    return spec.fingerprint


def _retrieved(task: "asyncio.Task[Features]") -> None:
    """An error that no head waits for any more is not reported as lost."""
    if not task.cancelled():
        task.exception()
