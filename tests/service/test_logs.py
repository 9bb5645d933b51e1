"""Logs in JSON, and the request id that follows a call through all services."""

import json
import time
from datetime import datetime

import grpc
import pytest

from tests.service.conftest import Watched
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub


def classify(watched: Watched, data: bytes, *metadata: tuple[str, str]) -> str:
    """The request id that comes back, whether the call succeeds or not."""
    with grpc.insecure_channel(watched.server.address) as channel:
        request = pb.ClassifyRequest(image=image_pb2.Image(data=data))
        try:
            _, call = VisionServiceStub(channel).Classify.with_call(request, timeout=60, metadata=metadata)
        except grpc.RpcError as error:
            call = error
        return dict(call.trailing_metadata())["x-request-id"]


def lines(watched: Watched) -> list[dict]:
    """The lines of the log that are JSON; what is said before logs are set up is not."""
    return [json.loads(line) for line in watched.server.log.splitlines() if line.startswith("{")]


def access(watched: Watched, request_id: str) -> list[dict]:
    """The access lines of a request, once the gateway has written its own: a caller may hear of an error before."""
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at:
        found = [line for line in lines(watched) if line.get("request_id") == request_id and "code" in line]
        if any(line["method"].endswith("VisionService/Classify") for line in found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"no line of {request_id}: {watched.server.log}")


def test_a_request_id_is_found_in_the_lines_of_every_service_and_comes_back(watched_processes, photos):
    watched = watched_processes
    assert classify(watched, photos[0].read_bytes(), ("x-request-id", "my-request/1")) == "my-request/1"
    found = access(watched, "my-request/1")
    assert {line["role"] for line in found} == watched.roles
    call = next(line for line in found if line["method"].endswith("VisionService/Classify"))
    assert (call["code"], call["heads"]) == ("OK", ["imagenet"])
    assert (call["logger"], call["level"]) == ("trunkline.access", "INFO")
    assert call["ms"] > 0
    assert datetime.fromisoformat(call["timestamp"]).utcoffset().total_seconds() == 0


def test_the_lines_of_a_call_name_its_trace(watched_processes, photos):
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = classify(watched_processes, photos[0].read_bytes(), ("traceparent", traceparent))
    assert {line["trace_id"] for line in access(watched_processes, given)} == {traceparent.split("-")[1]}


def test_a_call_without_an_id_gets_one_of_its_own(watched_processes, photos):
    first, second = (classify(watched_processes, photos[0].read_bytes()) for _ in range(2))
    assert first != second
    assert {line["role"] for line in access(watched_processes, second)} == watched_processes.roles


def test_a_call_that_fails_has_its_id_and_its_code(watched_processes):
    assert classify(watched_processes, b"no picture", ("x-request-id", "bad-one")) == "bad-one"
    assert {line["code"] for line in access(watched_processes, "bad-one")} == {"INVALID_ARGUMENT"}


@pytest.mark.parametrize("made_up", ["two words", 'quote"', "x" * 129, "{json}"])
def test_an_id_that_could_spoil_a_log_is_replaced(watched_processes, photos, made_up):
    given = classify(watched_processes, photos[0].read_bytes(), ("x-request-id", made_up))
    assert len(given) == 32
    assert made_up not in watched_processes.server.log


def test_every_line_after_the_start_is_json(watched_processes):
    others = [line for line in watched_processes.server.log.splitlines() if not line.startswith("{")]
    assert all(line.startswith("trunkline: ") for line in others), others
    assert all({"timestamp", "level", "logger", "role", "message"} <= set(line) for line in lines(watched_processes))
