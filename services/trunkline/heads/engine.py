"""Answers for heads: one process' HeadRunner. Follows the catalog while it runs."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

from trunkline.core.bundle import BackboneRef
from trunkline.core.errors import NotFoundError
from trunkline.core.exchange import AnswerNow, Features, HeadAnswer, HeadInfo, HeadQuestion, local_arrays
from trunkline.core.explaining import PlacesAnswer
from trunkline.core.head import Arrays, answer_weight
from trunkline.core.preprocess import Frame
from trunkline.core.repository import Repository
from trunkline.core.text import listed, shown
from trunkline.heads.loading import FaultyHead, LoadedHead, check_backbone
from trunkline.heads.places import explained
from trunkline.heads.versions import Choice, Key, LoadedVersions
from trunkline.serving.workers import Priority, WorkerPool

_log = logging.getLogger(__name__)


class HeadEngine:
    """All heads of a process."""

    def __init__(self, versions: LoadedVersions, workers: WorkerPool) -> None:
        self._versions = versions
        self._workers = workers
        self._missing = asyncio.Lock()  # those who miss a version wait for one look, not each for its own
        self._trouble = ""

    @property
    def arenas(self) -> frozenset[str]:
        return frozenset()

    @classmethod
    def load(cls, repository: Repository, workers: WorkerPool, choice: Choice, grace_s: float) -> Self:
        """Load the heads of this choice. A version that nobody can be sent to any more stays for `grace_s` seconds.

        A head of another backbone than its features is refused when it is asked.
        A head that cannot be loaded is kept with its fault; one whose files do not answer is left out
        until they do. Raises NotFoundError for a name that does not exist.
        """
        versions = LoadedVersions(repository, choice, grace_s)
        versions.refresh(first=True)
        for name, late_s in versions.late().items():
            _log.error("head %s is left out: its files have not answered for %.0f s", name, late_s)
        for name in choice.names:
            if name not in versions.heads and name not in versions.late() and not repository.versions("head", name):
                known = listed(repository.folders("head"))
                raise NotFoundError(f"there is no head {name!r} in {repository.root}; known: {known}", name=name)
        return cls(versions, workers)

    def answering(self) -> dict[str, bool]:
        """For each head that is served, whether it can answer."""
        return {name: not head.fault for name, head in self._versions.heads.items() if not head.barred}

    def backbones(self) -> set[BackboneRef]:
        """Those that the versions in memory need."""
        return self._versions.backbones()

    async def refresh(self, also: Collection[Key] = ()) -> None:
        """Follow the catalog and the version folders, beside the event loop.

        New versions are loaded and checked before they replace others. Where the model folder cannot be read, or
        this code has a bug, what is served stays, and the log says so.
        """
        try:
            await asyncio.to_thread(self._versions.refresh, also)
        except Exception as error:  # whatever it is, serving goes on
            trouble = f"{type(error).__name__}: {error}"
            if trouble != self._trouble:
                why = f": {error}" if (is_known := isinstance(error, OSError)) else ""
                _log.error(
                    "the model folder could not be followed%s; what is loaded goes on", why, exc_info=not is_known
                )
            self._trouble = trouble
        else:
            self._trouble = ""

    async def describe(self) -> list[HeadInfo]:
        return list(self._versions.heads.values())

    def quick(self, head: HeadInfo, params: Mapping[str, Any]) -> AnswerNow | None:
        """For a head of this version whose latest runs were short."""
        found = self._versions.find(head.name, int(head.version)) if head.version.isdecimal() else None
        if head.variant and isinstance(found, LoadedHead):
            found = found.variants.get(head.variant)
        if not isinstance(found, LoadedHead) or not found.pace.is_quick(params):
            return None
        return partial(_answer_now, found, params)

    async def predict(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        """Raises NotFoundError, ModelInvalidError, BackboneMismatchError, InvalidRequestError, QueueFullError."""
        head = self._now_usable(question) or await self._usable(question)
        features = local_arrays(question.features)
        started_at = time.perf_counter()
        result, queue_ms = await self._workers.run(
            lambda: head.answer(features, question.frame, question.params, self._workers.cores),
            Priority.HEAD,
            timeout_s=timeout_s,
            required=question.required,
            weight=answer_weight(head.decoder, question.frame),
        )
        return HeadAnswer(result, head.info.version, (time.perf_counter() - started_at) * 1000, queue_ms)

    def is_cheaper_together(self, question: HeadQuestion) -> bool:
        """Never: those that are quick have answered with their pass, and others go to several threads."""
        return False

    async def predict_all(
        self, questions: Sequence[HeadQuestion], timeout_s: float | None
    ) -> list[HeadAnswer | Exception]:
        """Answers of quick heads, or what each failed with, in one piece of work: a hop costs more than they do.

        Raises QueueFullError and DeadlineError, which cost all of them.
        """
        found = await asyncio.gather(*map(self._usable, questions), return_exceptions=True)
        heads = [each if isinstance(each, LoadedHead) else _raised(each) for each in found]
        answers, queue_ms = await self._workers.run(
            lambda: [
                head if isinstance(head, Exception) else _answered(head, question)
                for head, question in zip(heads, questions, strict=True)
            ],
            Priority.HEAD,
            timeout_s=timeout_s,
            required=any(question.required for question in questions),
            weight=max((_weight(*each) for each in zip(heads, questions, strict=True)), default=0),
        )
        return [_after(queue_ms, each) if isinstance(each, HeadAnswer) else each for each in answers]

    async def explain(
        self, question: HeadQuestion, target: str, reference: Sequence[float], timeout_s: float | None
    ) -> PlacesAnswer:
        """Raises as predict does, and InvalidRequestError for a head or a target that cannot be explained so."""
        head = await self._usable(question)
        features = local_arrays(question.features)
        answer, _ = await self._workers.run(
            lambda: explained(head, features, target, reference),
            Priority.HEAD,
            timeout_s=timeout_s,
            required=question.required,
        )
        return answer

    async def _usable(self, question: HeadQuestion) -> LoadedHead:
        head = self._find(question)
        if head is None and question.version.isdecimal():
            # Another replica may have seen a change of the catalog before this one, and told the gateway.
            async with self._missing:
                if self._find(question) is None:
                    await self.refresh([(question.head, int(question.version))])
            head = self._find(question)
        if head is None:
            label = f"{question.head}/{question.version}" if question.version else question.head
            raise NotFoundError(f"there is no head {label!r} in this process", head=question.head)
        return _checked(head, question)

    def _now_usable(self, question: HeadQuestion) -> LoadedHead | None:
        head = self._find(question)
        return None if head is None else _checked(head, question)

    def _find(self, question: HeadQuestion) -> LoadedHead | FaultyHead | None:
        version = question.version
        if not version:
            served = self._versions.heads.get(question.head)
            version = served.version if served is not None else ""
        return self._versions.find(question.head, int(version)) if version.isdecimal() else None


def _checked(head: LoadedHead | FaultyHead, question: HeadQuestion) -> LoadedHead:
    if isinstance(head, FaultyHead):
        raise head.error
    check_backbone(head.info, question.backbone_digest)
    if not question.variant:
        return head
    variant = head.variants.get(question.variant)
    if variant is None:
        raise NotFoundError(
            f"head {head.info.name}/{head.info.version} is not served here under spec {shown(question.variant)}",
            head=question.head,
            variant=shown(question.variant),
        )
    return variant


def _answer_now(head: LoadedHead, params: Mapping[str, Any], features: Features) -> HeadAnswer:
    check_backbone(head.info, features.backbone_digest)
    return _timed(head, local_arrays(features.arrays), features.frame, params)


def _answered(head: LoadedHead, question: HeadQuestion) -> HeadAnswer | Exception:
    try:
        return _timed(head, local_arrays(question.features), question.frame, question.params)
    except Exception as error:
        return error


def _timed(head: LoadedHead, features: Arrays, frame: Frame, params: Mapping[str, Any]) -> HeadAnswer:
    started_at = time.perf_counter()
    result = head.answer(features, frame, params)
    return HeadAnswer(result, head.info.version, (time.perf_counter() - started_at) * 1000)


def _after(queue_ms: float, answer: HeadAnswer) -> HeadAnswer:
    return replace(answer, head_ms=answer.head_ms + queue_ms, queue_ms=queue_ms)


def _weight(head: LoadedHead | Exception, question: HeadQuestion) -> int:
    return 0 if isinstance(head, Exception) else answer_weight(head.decoder, question.frame)


def _raised(error: BaseException) -> Exception:
    """Raises what is no failure of a head, such as that the call was cancelled."""
    if isinstance(error, Exception):
        return error
    raise error
