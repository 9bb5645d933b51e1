"""OpenTelemetry traces. Imported only where they are on: the packages come with the extra `otel`."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from trunkline import __version__
from trunkline.serving.addresses import proxy_options
from trunkline.serving.telemetry.call import Pairs

_EXPORT_TIMEOUT_S = 5
_NO_ERROR_OF_OURS = frozenset({"OK", "CANCELLED", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"})


class Tracing:
    """Spans of one process, sent to an OTLP receiver (gRPC) by a thread."""

    def __init__(self, endpoint: str | None, role: str) -> None:
        """endpoint: http://HOST:PORT; None takes what the OTEL_EXPORTER_OTLP_* variables say."""
        resource = Resource.create({"service.name": f"trunkline-{role}", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        options: Any = tuple(proxy_options(urlsplit(endpoint or "").netloc))
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT_S, channel_options=options)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("trunkline", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        self._provider.shutdown()

    def call(self, method: str, metadata: Pairs) -> "ActiveSpan":
        """The span of a call; it goes on with the trace of the caller where the metadata has a traceparent."""
        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        service, _, name = method.rpartition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        parent = self._propagator.extract(carrier)
        return ActiveSpan(
            self._tracer.start_span(method, context=parent, kind=SpanKind.SERVER, attributes=attributes)
        )

    def span(self, name: str, attributes: Mapping[str, str], ago_s: float = 0.0) -> "ActiveSpan":
        """A span below the current one: what is done for it, here or in a service behind. It began `ago_s` ago."""
        start_ns = time.time_ns() - int(ago_s * 1e9)
        return ActiveSpan(self._tracer.start_span(name, attributes=dict(attributes), start_time=start_ns))

    def stages(self, milliseconds: Mapping[str, float]) -> None:
        """Spans for stages that have just ended, one after the other; those of no length are left out."""
        now_ns = time.time_ns()
        start_ns = now_ns - int(sum(milliseconds.values()) * 1e6)
        for name, took_ms in milliseconds.items():
            end_ns = start_ns + int(took_ms * 1e6)
            if took_ms > 0:
                self._tracer.start_span(name, start_time=start_ns).end(end_ns)
            start_ns = end_ns

    def inject(self) -> Pairs:
        """The current span as W3C trace context, for the metadata of a call."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return tuple(carrier.items())


class ActiveSpan:
    """A span that is the current one until end(), which comes in the same task."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = attach(trace.set_span_in_context(span))

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def end(self, code: str) -> None:
        """End with a gRPC code; what is the caller's fault is no error of ours."""
        detach(self._token)
        self._span.set_attribute("rpc.response.status_code", code)
        if code not in _NO_ERROR_OF_OURS:
            self._span.set_status(Status(StatusCode.ERROR, code))
        self._span.end()
