"""The pass that the heads of one backbone and preprocessing spec share."""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from trunkline.core.errors import ImageTooLargeError, InvalidImageError
from trunkline.core.exchange import FeatureRequest, Features, QuickAnswer, QuickHead
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.shared_picture import SharedPicture
from trunkline.gateway.answers import HeadRequest, Pass
from trunkline.gateway.deadline import Deadline
from trunkline.gateway.directory import HeadEntry

# Bad for every head; any other error of a pass costs the heads of its spec.
OF_THE_PICTURE = (InvalidImageError, ImageTooLargeError)


class SharedPass:
    """The pass of a backbone for a spec, for the heads `needed_by`: `found` or `error` is what came of it."""

    def __init__(
        self,
        head: HeadEntry,
        image: bytes,
        deadline: Deadline,
        needs: Callable[[HeadRequest], bool],
    ) -> None:
        """For `head`, and what is added to `needed_by`.

        `deadline` is that of the call; `needs` says whether the call can not do without a head.

        Raises ValueError for a head whose backbone nobody serves.
        """
        if head.backbone is None:
            raise ValueError(f"no backbone is served for head {head.info.name}")
        self.needed_by: list[tuple[HeadRequest, HeadEntry]] = []
        self.found: Features | None = None
        self.error: Exception | None = None
        self.spec = head.info.spec
        self.shared: SharedPicture | None = None
        self.backbone = head.backbone
        self._image = image
        self._deadline = deadline
        self._needs = needs
        self._running: asyncio.Task[None] | None = None

    @property
    def is_left_by_none(self) -> bool:
        """Whether no head may leave it before its end."""
        if len(self.needed_by) == 1:
            return True
        return all(self._deadline.within(ask.budget_s) is self._deadline for ask, _ in self.needed_by)

    async def make(self) -> None:
        """Once. It has the longest time of the heads that need it.

        Raises errors of the picture; `found` or `error` has all else.
        """
        deadline = max((self._deadline.within(ask.budget_s) for ask, _ in self.needed_by), key=Deadline.left_s)
        timer = asyncio.timeout(deadline.left_s())
        try:
            async with timer:
                self.found = await self.backbone.source.extract(self._request(), deadline.left_s())
        except OF_THE_PICTURE:
            raise
        except TimeoutError as error:
            self.error = deadline.missed_by("the pass") if timer.expired() else error
        except Exception as error:
            self.error = error

    async def features(self, deadline: Deadline) -> Features:
        """For a head with this deadline; the first that needs the pass starts it for all. Raises what it raises."""
        if self._running is None and self.found is None and self.error is None:
            self._running = asyncio.create_task(self.make())
            self._running.add_done_callback(retrieved)
        if self._running is not None:
            # A head that is late leaves the pass to the others.
            shared = deadline is self._deadline
            await (self._running if shared else deadline.bound(asyncio.shield(self._running), "the pass"))
        if self.found is None:
            raise self.error or RuntimeError("a pass that made nothing")
        return self.found

    def answer(self, ask: HeadRequest) -> QuickAnswer | None:
        """The answer that came with the features, if there was one."""
        return self.found.answers.get(ask.head) if self.found is not None else None

    def end(self) -> None:
        """Nobody asks any more. An error keeps much alive, itself too where this kept it."""
        self.error = None
        if self._running is not None:
            self._running.cancel()
        if self.found is not None:
            self.found.release()

    def _request(self) -> FeatureRequest:
        return FeatureRequest(
            self._image,
            self.spec,
            tuple(dict.fromkeys(name for _, entry in self.needed_by for name in entry.info.features)),
            required=any(self._needs(ask) for ask, _ in self.needed_by),
            arenas=frozenset.intersection(*(entry.runner.arenas for _, entry in self.needed_by)),
            backbone_digest=self.backbone.info.digest,
            shared=self.shared,
            quick=tuple(self._quick()),
        )

    def _quick(self) -> Iterable[QuickHead]:
        """Those that the call needs: what it can do without waits for a place, and under pressure gets none."""
        for ask, entry in self.needed_by:
            answer = entry.runner.quick(entry.info, ask.params)
            if answer is not None and self._needs(ask):
                yield QuickHead(ask.head, entry.info, answer)


def share_picture(passes: Collection[SharedPass]) -> None:
    """Several passes of one process hash the picture once, and decode it once for each spec."""
    uses = Counter(each.spec for each in passes)
    shared = SharedPicture(spec for spec, count in uses.items() if count > 1)
    for each in passes:
        each.shared = shared


def pass_of(shared: SharedPass, found: Features) -> Pass:
    fingerprint, words = _named(shared.spec)
    return Pass(
        fingerprint,
        found.queue_ms,
        found.decode_ms,
        found.backbone_ms,
        backbone=shared.backbone.info.label,
        spec=words,
        heads=tuple([(ask.head, entry.info.points_lost) for ask, entry in shared.needed_by]),
    )


@functools.lru_cache(maxsize=256)
def _named(spec: PreprocessSpec) -> tuple[str, str]:
    return spec.fingerprint, spec.words


def retrieved(task: "asyncio.Task[Any]") -> None:
    """An error that nobody waits for any more is not reported as lost."""
    if task.done() and not task.cancelled():
        task.exception()
