"""Errors as old and foreign servers send them: the client raises ServiceError whatever the trailers hold."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceServicer, add_VisionServiceServicer_to_server
from trunkline.client import AsyncClient, Client, ServiceError
from trunkline.core.errors import NotFoundError
from trunkline.gateway.rest.errors import as_status
from trunkline.serving.status import from_rpc_error

DETAILS = "grpc-status-details-bin"


class Failing(VisionServiceServicer):
    """Ends each call with what it was given."""

    def __init__(self, code: grpc.StatusCode, message: str, details: bytes) -> None:
        self._end = code, message, details

    def ListHeads(self, request, context):  # noqa: N802
        code, message, details = self._end
        context.set_trailing_metadata(((DETAILS, details),))
        context.abort(code, message)


@contextmanager
def failing(code: grpc.StatusCode, message: str, details: bytes) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    add_VisionServiceServicer_to_server(Failing(code, message, details), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def written(code: int, message: str, *details: Any) -> bytes:
    status = status_pb2.Status(code=code, message=message, details=details)
    if not details:
        info = error_details_pb2.ErrorInfo(reason="NOT_FOUND", domain="trunkline", metadata={"head": "x"})
        status.details.add().Pack(info)
    return status.SerializeToString()


BROKEN = Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff")
NOT_FOUND, EXHAUSTED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED
CASES = {
    "the same": (NOT_FOUND, "no head", written(5, "no head"), "NOT_FOUND", "NOT_FOUND", "no head"),
    "another code": (EXHAUSTED, "too long", written(5, "no head"), "NOT_FOUND", "NOT_FOUND", "no head"),
    "another message": (NOT_FOUND, "cut", written(5, "no head"), "NOT_FOUND", "NOT_FOUND", "no head"),
    "details of success": (NOT_FOUND, "no head", written(0, ""), "NOT_FOUND", "NOT_FOUND", "no head"),
    "no such code": (NOT_FOUND, "no head", written(4711, "x"), "NOT_FOUND", "NOT_FOUND", "no head"),
    "no status": (NOT_FOUND, "no head", b"\xff\xff", "NOT_FOUND", "NOT_FOUND", "no head"),
    "a broken detail": (NOT_FOUND, "no head", written(5, "no head", BROKEN), "NOT_FOUND", "NOT_FOUND", "no head"),
}
# Without our ErrorInfo a part of the service is not believed to have meant it for callers.
UNEXPLAINED = ("details of success", "no such code", "no status", "a broken detail")


@pytest.mark.parametrize("case", CASES)
async def test_whatever_the_trailers_hold_is_a_service_error(case):
    code, message, details, found_code, reason, said = CASES[case]
    with failing(code, message, details) as target:
        with Client(target) as client, pytest.raises(ServiceError, match=said) as caught:
            client.list_heads()
        async with AsyncClient(target) as same:
            with pytest.raises(ServiceError, match=said) as caught_aio:
                await same.list_heads()
    for error in (caught.value, caught_aio.value):
        assert (error.code, error.reason) == (found_code, reason)
    behind = caught_aio.value.__context__
    assert isinstance(behind, grpc.aio.AioRpcError)
    assert isinstance(from_rpc_error(behind, "heads"), NotFoundError if case not in UNEXPLAINED else grpc.RpcError)
    assert as_status(behind).status_code == 404


async def test_an_error_that_is_too_long_for_its_trailers_is_said_to_be():
    with (
        failing(NOT_FOUND, "x" * 50_000, b"") as target,
        Client(target) as client,
        pytest.raises(ServiceError, match="an error that is longer than gRPC carries") as caught,
    ):
        client.list_heads()
    assert (caught.value.code, caught.value.reason) == ("UNKNOWN", "ERROR_TOO_LONG")
