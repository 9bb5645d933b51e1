"""One picture, many heads: one backbone pass for each preprocessing spec, heads side by side."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trunkline.core.errors import (
    BackboneMismatchError,
    ImageTooLargeError,
    InvalidRequestError,
    ModelInvalidError,
    TrunklineError,
    WrongTaskError,
)
from trunkline.core.exchange import IMAGE, FeatureRequest, Features, HeadAnswer, HeadInfo, HeadQuestion
from trunkline.core.preprocess import PreprocessSpec
from trunkline.gateway.directory import Directory, HeadEntry

_log = logging.getLogger(__name__)
_CALL_OF_TASK = {"classification": "Classify", "regression": "Regress"}
# What the answer needs for its own way back is not given to the services below.
_WAY_BACK_S = 0.005


@dataclass(frozen=True)
class Ask:
    """One head to ask. A required one fails the whole call with its error."""

    head: str
    params: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one question: an answer or an error."""

    head: str
    version: str
    answer: HeadAnswer | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class Analysis:
    """All outcomes, in the order asked; times in milliseconds."""

    outcomes: tuple[Outcome, ...]
    image_size: tuple[int, int] | None  # (width, height), upright; None where no pass succeeded
    passes: int
    queue_ms: float
    decode_ms: float
    backbone_ms: float
    head_ms: float
    total_ms: float


class Deadline:
    """Time that is left, shrinking on the way down."""

    def __init__(self, timeout_s: float) -> None:
        self._ends_at = time.monotonic() + timeout_s - _WAY_BACK_S

    def left_s(self) -> float:
        """Seconds, never below zero."""
        return max(0.0, self._ends_at - time.monotonic())


class Analyzer:
    """Answers questions about pictures with whatever the directory knows."""

    def __init__(self, directory: Directory, max_image_bytes: int) -> None:
        self._directory = directory
        self._max_image_bytes = max_image_bytes

    async def ask_one(
        self, image: bytes, task: str, head: str, params: Mapping[str, Any], timeout_s: float
    ) -> Analysis:
        """One required question to a head of a task; the default one of the task where `head` is empty.

        Raises NotFoundError, WrongTaskError, and what the backbone and the head raise.
        """
        entry = self._directory.resolve(head) if head else self._directory.default_head_of(task)
        if entry.info.task != task:
            raise _wrong_task(entry.info, task)
        ask = Ask(head or entry.info.name, params, required=True)
        return await self._analyze(image, [ask], lambda ask: self._checked(entry), timeout_s)

    async def ask_version(
        self, image: bytes, entry: HeadEntry, params: Mapping[str, Any], timeout_s: float
    ) -> Analysis:
        """One required question to a version that was resolved before, so that a batch gets one version.

        Raises what the backbone and the head raise.
        """
        ask = Ask(entry.info.name, params, required=True)
        return await self._analyze(image, [ask], lambda ask: self._checked(entry), timeout_s)

    async def analyze(self, image: bytes, asks: Sequence[Ask], timeout_s: float) -> Analysis:
        """Every head's outcome. Raises what a required head raises, and errors of the picture itself."""
        return await self._analyze(image, asks, self._resolve, timeout_s)

    async def _analyze(
        self, image: bytes, asks: Sequence[Ask], resolve: Callable[[Ask], HeadEntry], timeout_s: float
    ) -> Analysis:
        started_at = time.perf_counter()
        deadline = Deadline(timeout_s)
        self._check(image, asks)
        entries = [_entry(ask, resolve) for ask in asks]
        usable = [entry for entry in entries if isinstance(entry, HeadEntry)]
        passes = {spec: _union(usable, spec) for spec in dict.fromkeys(entry.info.spec for entry in usable)}
        features = dict(zip(passes, await self._features(image, passes, deadline), strict=True))
        outcomes = await asyncio.gather(
            *(self._outcome(ask, entry, features, deadline) for ask, entry in zip(asks, entries, strict=True))
        )
        for ask, outcome in zip(asks, outcomes, strict=True):
            if ask.required and outcome.error is not None:
                raise outcome.error
        return _analysis(outcomes, [f for f in features.values() if isinstance(f, Features)], started_at)

    def _check(self, image: bytes, asks: Sequence[Ask]) -> None:
        if len(image) > self._max_image_bytes:
            raise ImageTooLargeError(
                f"the picture has {len(image)} bytes; the limit is {self._max_image_bytes}",
                bytes=len(image),
                limit_bytes=self._max_image_bytes,
            )
        names = [ask.head for ask in asks]
        if not names:
            raise InvalidRequestError("no head was named; ListHeads says which there are")
        if len(set(names)) < len(names):
            raise InvalidRequestError(f"a head was named twice: {names}")

    def _resolve(self, ask: Ask) -> HeadEntry:
        return self._checked(self._directory.resolve(ask.head))

    def _checked(self, entry: HeadEntry) -> HeadEntry:
        check_usable(entry.info, self._directory.backbone.digest)
        return entry

    async def _features(
        self, image: bytes, passes: Mapping[PreprocessSpec, tuple[str, ...]], deadline: Deadline
    ) -> list[Features | Exception]:
        found = await asyncio.gather(
            *(
                self._directory.source.extract(FeatureRequest(image, spec, names), deadline.left_s())
                for spec, names in passes.items()
            ),
            return_exceptions=True,
        )
        for result in found:
            # A bad picture is bad for every head; anything else costs the heads of this spec.
            if isinstance(result, InvalidRequestError):
                raise result
            if isinstance(result, BaseException) and not isinstance(result, Exception):
                raise result
            _log_bug(result)
        return [result for result in found if isinstance(result, Features | Exception)]

    async def _outcome(
        self,
        ask: Ask,
        entry: HeadEntry | TrunklineError,
        features: Mapping[PreprocessSpec, Features | Exception],
        deadline: Deadline,
    ) -> Outcome:
        if isinstance(entry, TrunklineError):
            return Outcome(ask.head, "", error=entry)
        found = features[entry.info.spec]
        if isinstance(found, Exception):
            return Outcome(ask.head, entry.info.version, error=found)
        question = HeadQuestion(
            head=entry.info.name,
            version=entry.info.version,
            features={name: found.arrays[name] for name in entry.info.features},
            frame=found.frame,
            backbone_digest=found.backbone_digest,
            params=ask.params,
        )
        try:
            answer = await entry.runner.predict(question, deadline.left_s())
        except Exception as error:  # one failed head costs one outcome
            _log_bug(error)
            return Outcome(ask.head, entry.info.version, error=error)
        return Outcome(ask.head, answer.version, answer=answer)


def _entry(ask: Ask, resolve: Callable[[Ask], HeadEntry]) -> HeadEntry | TrunklineError:
    try:
        return resolve(ask)
    except TrunklineError as error:
        if ask.required:
            raise
        return error


def check_usable(head: HeadInfo, backbone_digest: str) -> None:
    """Refuse a head before a pass is spent on it. Raises BackboneMismatchError or ModelInvalidError."""
    if head.backbone_digest != backbone_digest:
        raise BackboneMismatchError.between(head.name, head.backbone, head.backbone_digest, backbone_digest)
    if head.fault:
        raise ModelInvalidError(f"head {head.name!r} cannot answer: {head.fault}", head=head.name)


def _wrong_task(head: HeadInfo, asked: str) -> WrongTaskError:
    call = _CALL_OF_TASK.get(head.task)
    advice = f"{call} or Analyze" if call else "Analyze"
    return WrongTaskError(
        f"head {head.name!r} does {head.task}, not {asked}: use {advice}", head=head.name, task=head.task
    )


def _log_bug(found: object) -> None:
    """Errors that are not meant for callers end in an outcome as "internal error", so their text is kept here."""
    if isinstance(found, Exception) and not isinstance(found, TrunklineError):
        _log.error("bug behind the gateway", exc_info=found)


def _union(entries: Sequence[HeadEntry], spec: PreprocessSpec) -> tuple[str, ...]:
    names = (name for entry in entries if entry.info.spec == spec for name in entry.info.features)
    return tuple(dict.fromkeys(names))


def _analysis(outcomes: Sequence[Outcome], passes: Sequence[Features], started_at: float) -> Analysis:
    return Analysis(
        outcomes=tuple(outcomes),
        image_size=(passes[0].frame.image_width, passes[0].frame.image_height) if passes else None,
        passes=sum(set(found.arrays) != {IMAGE} for found in passes),
        queue_ms=max((found.queue_ms for found in passes), default=0.0),
        decode_ms=max((found.decode_ms for found in passes), default=0.0),
        backbone_ms=max((found.backbone_ms for found in passes), default=0.0),
        head_ms=max((outcome.answer.head_ms for outcome in outcomes if outcome.answer), default=0.0),
        total_ms=(time.perf_counter() - started_at) * 1000,
    )
