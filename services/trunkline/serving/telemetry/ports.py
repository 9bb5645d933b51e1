"""The ports to backbone and heads, watched: where time went, what was refused, and which heads were asked."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from trunkline.core.errors import DeadlineError, NotFoundError, QueueFullError, ServiceUnavailableError
from trunkline.core.exchange import (
    BackboneInfo,
    FeatureRequest,
    Features,
    FeatureSource,
    HeadAnswer,
    HeadInfo,
    HeadQuestion,
    HeadRunner,
)
from trunkline.serving.status import code_of
from trunkline.serving.telemetry.call import current_call
from trunkline.serving.telemetry.telemetry import Telemetry

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

    async def describe(self) -> BackboneInfo:
        return await self._source.describe()

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        with _watched(self._telemetry, "pass", self._ended, {"trunkline.features": ",".join(request.features)}):
            found = await self._source.extract(request, timeout_s)
        call, metrics = current_call(), self._telemetry.metrics
        if call is not None:
            call.passes = (call.passes or 0) + (found.backbone_ms > 0)
        if metrics is not None:
            metrics.passed(found.queue_ms / 1000, found.decode_ms / 1000, found.backbone_ms / 1000)
        return found

    def _ended(self, seconds: float, error: BaseException | None) -> None:
        metrics = self._telemetry.metrics
        if metrics is not None:
            metrics.pass_duration.labels(_status(error)).observe(seconds)
            if isinstance(error, _REFUSALS):
                metrics.refused.labels("backbone", error.reason).inc()


class _ObservedRunner:
    """HeadRunner that counts answers and their times, by head."""

    def __init__(self, runner: HeadRunner, telemetry: Telemetry) -> None:
        self._runner, self._telemetry = runner, telemetry

    async def describe(self) -> Sequence[HeadInfo]:
        return await self._runner.describe()

    async def predict(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        call = current_call()
        if call is not None:
            call.heads.append(question.head)

        def ended(seconds: float, error: BaseException | None) -> None:
            self._ended(question.head, seconds, error)

        attributes = {"trunkline.head": question.head, "trunkline.head.version": question.version}
        with _watched(self._telemetry, f"head {question.head}", ended, attributes):
            return await self._runner.predict(question, timeout_s)

    def _ended(self, head: str, seconds: float, error: BaseException | None) -> None:
        metrics = self._telemetry.metrics
        if metrics is not None:
            metrics.head_ended(None if isinstance(error, NotFoundError) else head, _status(error), seconds)
            if isinstance(error, _REFUSALS):
                metrics.refused.labels("head", error.reason).inc()


class _TracedSource:
    """FeatureSource whose stages are spans below the current one."""

    def __init__(self, source: FeatureSource, telemetry: Telemetry) -> None:
        self._source, self._tracing = source, telemetry.tracing

    async def describe(self) -> BackboneInfo:
        return await self._source.describe()

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        found = await self._source.extract(request, timeout_s)
        if self._tracing is not None:
            stages = {"queue": found.queue_ms, "decode": found.decode_ms, "backbone": found.backbone_ms}
            self._tracing.stages(stages)
        return found


@contextmanager
def _watched(telemetry: Telemetry, span: str, ended: _End, attributes: dict[str, str]) -> Iterator[None]:
    """A span where traces are on, and ended(seconds, error) at the end."""
    started_at = time.perf_counter()
    tracing = telemetry.tracing
    within = tracing.span(span, attributes) if tracing is not None else None
    error: BaseException | None = None
    try:
        yield
    except BaseException as found:
        error = found
        raise
    finally:
        ended(time.perf_counter() - started_at, error)
        if within is not None:
            within.end(_status(error))


def _status(error: BaseException | None) -> str:
    """The name of the gRPC code that an error has for callers; "OK" for none."""
    if error is None:
        return "OK"
    return code_of(error).name if isinstance(error, Exception) else "CANCELLED"
