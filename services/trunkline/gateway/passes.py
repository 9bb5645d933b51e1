"""The pass that the heads of one preprocessing spec share, and what may follow it on its thread."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from trunkline.core.errors import ImageTooLargeError, InvalidImageError
from trunkline.core.exchange import EarlyAnswer, FeatureRequest, Features, FeatureSource
from trunkline.core.preprocess import PreprocessSpec
from trunkline.gateway.answers import Ask, Pass
from trunkline.gateway.deadline import Deadline
from trunkline.gateway.directory import HeadEntry
from trunkline.gateway.early import EarlyAnswers

# Bad for every head; any other error of a pass costs the heads of its spec.
OF_THE_PICTURE = (InvalidImageError, ImageTooLargeError)


class SharedPass:
    """The pass for a spec. `needed_by` are the heads that need it, `found` is what it made."""

    def __init__(
        self,
        spec: PreprocessSpec,
        source: FeatureSource,
        image: bytes,
        deadline: Deadline,
        needs: Callable[[Ask], bool],
    ) -> None:
        """`deadline` is that of the call; `needs` says whether the call can not do without a head."""
        self.needed_by: list[tuple[Ask, HeadEntry]] = []
        self.found: Features | None = None
        self._spec = spec
        self._source = source
        self._image = image
        self._deadline = deadline
        self._needs = needs
        self._running: asyncio.Task[Features] | None = None
        self._error: Exception | None = None
        self._early: EarlyAnswers | None = None

    async def extract(self) -> Features:
        """Its pass has the longest time of the heads that need it."""
        self._early = self._early_answers()
        request = FeatureRequest(
            self._image,
            self._spec,
            tuple(dict.fromkeys(name for _, entry in self.needed_by for name in entry.info.features)),
            required=any(self._needs(ask) for ask, _ in self.needed_by),
            arenas=frozenset.intersection(*(entry.runner.arenas for _, entry in self.needed_by)),
            then=self._early,
        )
        deadline = max((self._deadline.within(ask.budget_s) for ask, _ in self.needed_by), key=Deadline.left_s)
        self.found = await deadline.bound(self._source.extract(request, deadline.left_s()), "the pass")
        return self.found

    async def extract_for_all(self) -> None:
        """Without a task, where no head may leave it before its end; `features` then has what came of it.

        Raises errors of the picture.
        """
        if any(self._deadline.within(ask.budget_s) is not self._deadline for ask, _ in self.needed_by):
            return
        try:
            await self.extract()
        except OF_THE_PICTURE:
            raise
        except Exception as error:
            self._error = error

    async def features(self, deadline: Deadline) -> Features:
        """For a head with this deadline; the first that needs the pass starts it for all. Raises what it raises."""
        if self._error is not None:
            raise self._error
        if self.found is not None:
            return self.found
        if self._running is None:
            self._running = asyncio.create_task(self.extract())
            self._running.add_done_callback(retrieved)
        if deadline is self._deadline:
            return await self._running
        # A head that is late leaves the pass to the others.
        return await deadline.bound(asyncio.shield(self._running), "the pass")

    def early(self, ask: Ask) -> EarlyAnswer | None:
        """The answer that was given on the thread of the pass, if there was one."""
        return self._early.get(ask) if self._early is not None and self.found is not None else None

    def is_settled(self, ask: Ask) -> bool:
        """Whether the outcome of this question has to be waited for no more."""
        return self._error is not None or self.early(ask) is not None

    def cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _early_answers(self) -> EarlyAnswers | None:
        """Those that the call needs, for what it can do without waits for a place: under pressure it gets none."""
        shortcuts = {}
        for ask, entry in self.needed_by:
            shortcut = entry.runner.shortcut(entry.info.name, entry.info.version, ask.params)
            if shortcut is not None and self._needs(ask):
                shortcuts[ask.head] = entry, shortcut
        return EarlyAnswers(shortcuts) if shortcuts else None


def pass_of(spec: PreprocessSpec, found: Features) -> Pass:
    return Pass(_fingerprint(spec), found.queue_ms, found.decode_ms, found.backbone_ms)


@functools.lru_cache(maxsize=256)
def _fingerprint(spec: PreprocessSpec) -> str:
    return spec.fingerprint


def retrieved(task: "asyncio.Task[Any]") -> None:
    """An error that nobody waits for any more is not reported as lost."""
    if task.done() and not task.cancelled():
        task.exception()
