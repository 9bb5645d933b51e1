"""The ports to backbone and heads, watched: where time went, what was refused, and which heads were asked."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import DeadlineError, NotFoundError, QueueFullError, ServiceUnavailableError
from trunkline.core.exchange import (
    AnswerNow,
    BackboneInfo,
    FeatureRequest,
    Features,
    FeatureSource,
    HeadAnswer,
    HeadInfo,
    HeadQuestion,
    HeadRunner,
)
from trunkline.core.explaining import PlacesAnswer
from trunkline.serving.status import code_of
from trunkline.serving.telemetry.call import OTHER, current_call
from trunkline.serving.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from trunkline.serving.telemetry.tracing import ActiveSpan

_REFUSALS = (QueueFullError, DeadlineError, ServiceUnavailableError)
_End = Callable[[float, BaseException | None], None]


def observed_source(source: FeatureSource, telemetry: Telemetry) -> FeatureSource:
    """The backbone as a gateway asks it, watched where anything is switched on."""
    return _ObservedSource(source, telemetry) if telemetry.on else source


def observed_runner(runner: HeadRunner, telemetry: Telemetry) -> HeadRunner:
    """Heads as a gateway asks them, watched where anything is switched on."""
    return _ObservedRunner(runner, telemetry) if telemetry.on else runner


def traced_source(source: FeatureSource, telemetry: Telemetry) -> FeatureSource:
    """The backbone in the process that runs it, with spans of its stages where traces are on."""
    return _TracedSource(source, telemetry) if telemetry.tracing is not None else source


class _ObservedSource:
    """FeatureSource that counts passes and their times."""

    def __init__(self, source: FeatureSource, telemetry: Telemetry) -> None:
        self._source, self._telemetry = source, telemetry
        self._names: Mapping[str, str] = {}  # of backbones, by digest

    async def describe(self) -> Sequence[BackboneInfo]:
        served = await self._source.describe()
        self._names = {info.digest: info.name for info in served}
        return served

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        tracing, span = self._telemetry.tracing, None
        name = self._names.get(request.backbone_digest, OTHER)
        if tracing is not None:
            attributes = {"trunkline.backbone": name, "trunkline.features": ",".join(request.features)}
            span = tracing.span("pass", attributes)
        with _Stage(partial(self._ended, name), span):
            found = await self._source.extract(request, timeout_s)
        call, metrics = current_call(), self._telemetry.metrics
        if call is not None:
            call.passes = (call.passes or 0) + (found.backbone_ms > 0)
        if metrics is not None:
            metrics.passed(name, found.queue_ms / 1000, found.decode_ms / 1000, found.backbone_ms / 1000)
        for quick in found.answers.values():
            _head_stage(self._telemetry, quick.info.name, quick.info.version, quick.took_s).end(quick.error)
        return found

    def _ended(self, name: str, seconds: float, error: BaseException | None) -> None:
        metrics = self._telemetry.metrics
        if metrics is not None:
            metrics.pass_duration.add(seconds, name, _status(error))
            if isinstance(error, _REFUSALS):
                metrics.refused.add(1, "backbone", error.reason)


class _ObservedRunner:
    """HeadRunner that counts answers and their times, by head."""

    def __init__(self, runner: HeadRunner, telemetry: Telemetry) -> None:
        self._runner, self._telemetry = runner, telemetry

    @property
    def arenas(self) -> frozenset[str]:
        return self._runner.arenas

    async def describe(self) -> Sequence[HeadInfo]:
        return await self._runner.describe()

    def quick(self, head: HeadInfo, params: Mapping[str, Any]) -> AnswerNow | None:
        return self._runner.quick(head, params)  # what comes of it is watched at the source

    async def predict(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        with _head_stage(self._telemetry, question.head, question.version):
            return await self._runner.predict(question, timeout_s)

    async def explain(
        self, question: HeadQuestion, target: str, reference: Sequence[float], timeout_s: float | None
    ) -> PlacesAnswer:
        with _head_stage(self._telemetry, question.head, question.version):
            return await self._runner.explain(question, target, reference, timeout_s)

    def is_cheaper_together(self, question: HeadQuestion) -> bool:
        return self._runner.is_cheaper_together(question)

    async def predict_all(
        self, questions: Sequence[HeadQuestion], timeout_s: float | None
    ) -> Sequence[HeadAnswer | Exception]:
        began_at = time.perf_counter()
        answers: Sequence[HeadAnswer | BaseException] = ()
        try:
            answers = found = await self._runner.predict_all(questions, timeout_s)
        except BaseException as error:
            answers = [error] * len(questions)
            raise
        finally:
            for question, answer in zip(questions, answers, strict=True):
                stage = _head_stage(self._telemetry, question.head, question.version, time.perf_counter() - began_at)
                stage.end(answer if isinstance(answer, BaseException) else None)
        return found


class _TracedSource:
    """FeatureSource whose stages are spans below the current one."""

    def __init__(self, source: FeatureSource, telemetry: Telemetry) -> None:
        self._source, self._tracing = source, telemetry.tracing

    async def describe(self) -> Sequence[BackboneInfo]:
        return await self._source.describe()

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        found = await self._source.extract(request, timeout_s)
        if self._tracing is not None:
            stages = {"queue": found.queue_ms, "decode": found.decode_ms, "backbone": found.backbone_ms}
            self._tracing.stages(stages)
        return found


class _Stage:
    """A context manager around one question: ended(seconds, error) at its end, and the end of its span."""

    __slots__ = ("_ended", "_span", "_started_at")

    def __init__(self, ended: _End, span: "ActiveSpan | None", ago_s: float = 0.0) -> None:
        """It began `ago_s` seconds ago."""
        self._ended, self._span = ended, span
        self._started_at = time.perf_counter() - ago_s

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def end(self, error: BaseException | None) -> None:
        """Of what is over already."""
        self._ended(time.perf_counter() - self._started_at, error)
        if self._span is not None:
            self._span.end(_status(error))


def _head_stage(telemetry: Telemetry, head: str, version: str, ago_s: float = 0.0) -> _Stage:
    """A question to a head that began `ago_s` seconds ago."""
    call, tracing, span = current_call(), telemetry.tracing, None
    if call is not None:
        call.heads.append(head)
    if tracing is not None:
        attributes = {"trunkline.head": head, "trunkline.head.version": version}
        span = tracing.span(f"head {head}", attributes, ago_s)
    return _Stage(partial(_head_ended, telemetry, head), span, ago_s)


def _head_ended(telemetry: Telemetry, head: str, seconds: float, error: BaseException | None) -> None:
    metrics = telemetry.metrics
    if metrics is not None:
        metrics.head_ended(None if isinstance(error, NotFoundError) else head, _status(error), seconds)
        if isinstance(error, _REFUSALS):
            metrics.refused.add(1, "head", error.reason)


def _status(error: BaseException | None) -> str:
    """The name of the gRPC code that an error has for callers; "OK" for none."""
    if error is None:
        return "OK"
    return code_of(error).name if isinstance(error, Exception) else "CANCELLED"
