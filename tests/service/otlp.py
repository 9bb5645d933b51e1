"""A receiver of OTLP traces on loopback that keeps what arrives."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc


@dataclass(frozen=True)
class Received:
    """A span: ids in hex, `parent` empty for a root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    error: bool


class Receiver(pb_grpc.TraceServiceServicer):
    """The spans that arrived, in whatever order."""

    def __init__(self) -> None:
        self._spans: list[Received] = []
        self._arrived = threading.Condition()
        self.endpoint = ""

    def Export(self, request, context):  # noqa: N802
        with self._arrived:
            for resource in request.resource_spans:
                service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
                self._spans += [_received(service, span) for scope in resource.scope_spans for span in scope.spans]
            self._arrived.notify_all()
        return pb.ExportTraceServiceResponse()

    def wait(self, enough: Callable[[list[Received]], bool], timeout_s: float = 60) -> list[Received]:
        """All spans, once there are enough of them."""
        ends_at = time.monotonic() + timeout_s
        with self._arrived:
            while not enough(self._spans):
                left_s = ends_at - time.monotonic()
                assert left_s > 0, f"not within time; there are {self._spans}"
                self._arrived.wait(left_s)
            return list(self._spans)


def _received(service, span) -> Received:
    return Received(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == span.status.STATUS_CODE_ERROR,
    )


@contextmanager
def receiver() -> Iterator[Receiver]:
    server = grpc.server(ThreadPoolExecutor(4))
    found = Receiver()
    pb_grpc.add_TraceServiceServicer_to_server(found, server)
    found.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield found
    finally:
        server.stop(None).wait()
