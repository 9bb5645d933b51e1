"""One call from its beginning to its end."""

import asyncio
import logging
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from trunkline.serving.telemetry.call import REQUEST_ID, Call, begin_call, request_id_of
from trunkline.serving.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from trunkline.serving.telemetry.tracing import ActiveSpan

_access = logging.getLogger("trunkline.access")


class Observation:
    """A context manager around the behaviour of a call. What it costs is paid by every call, so it is plain."""

    __slots__ = ("_call", "_context", "_span", "_started_at", "_telemetry")

    def __init__(self, telemetry: Telemetry, method: str, context: Any) -> None:
        self._telemetry = telemetry
        self._context = context
        self._call = Call(method, "")
        self._span: ActiveSpan | None = None
        self._started_at = 0.0

    def __enter__(self) -> Call:
        self._started_at = time.perf_counter()
        call, context = self._call, self._context
        metadata = context.invocation_metadata() or ()
        call.request_id = request_id_of(metadata)
        context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
        begin_call(call)
        tracing = self._telemetry.tracing
        if tracing is not None:
            self._span = tracing.call(call.method, metadata)
            call.trace_id, call.inject = self._span.trace_id, tracing.inject
        if self._telemetry.metrics is not None:
            self._telemetry.metrics.call_began(call.method)
        return call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = _code(error, self._context)
        seconds = time.perf_counter() - self._started_at
        telemetry, call = self._telemetry, self._call
        if telemetry.metrics is not None:
            telemetry.metrics.call_ended(call, code, seconds)
        if telemetry.access_log:
            _log_access(call, code, seconds)
        if self._span is not None:
            self._span.end(code)


def _code(error: BaseException | None, context: Any) -> str:
    """Name of the code that the call ends with, such as "OK"."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return str(code.name)
    if error is None:
        return "OK"
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        left_s = context.time_remaining()
        return "CANCELLED" if left_s is None or left_s > 0 else "DEADLINE_EXCEEDED"
    return "UNKNOWN"


def _log_access(call: Call, code: str, seconds: float) -> None:
    milliseconds = round(seconds * 1000, 2)
    heads = ",".join(call.heads)
    _access.info(
        "%s %s %.2f ms%s",
        call.method,
        code,
        milliseconds,
        f" heads={heads}" if heads else "",
        extra={"fields": {"method": call.method, "code": code, "ms": milliseconds, "heads": call.heads}},
    )
