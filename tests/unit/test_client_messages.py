"""Requests and answers of the client, without any connection."""

import pickle

import grpc
import pytest
from google.rpc import status_pb2

from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.client import HeadAsk, ServiceError, UnreachableError, messages
from trunkline.client.connection import options_for
from trunkline.client.errors import from_head_error, from_rpc_error, from_status
from trunkline.client.readiness import Readiness
from trunkline.core.errors import BackboneMismatchError, InvalidRequestError, NotFoundError, QueueFullError
from trunkline.core.results import Classification, Embedding, Quantity, Regression, ScoredLabel
from trunkline.core.tasks import task_of
from trunkline.serving.status import to_head_error, to_status
from trunkline.serving.wire_results import put_result

CLASSIFY, REGRESS = task_of("classification"), task_of("regression")
LABELS = Classification((ScoredLabel(967, "espresso", 0.9375), ScoredLabel(504, "coffee mug", 0.0625)))


class FailedCall(grpc.RpcError, grpc.Call):
    """A finished call, as gRPC raises it."""

    def __init__(self, code, details="", trailing=()):
        self._code, self._details, self._trailing = code, details, trailing

    def code(self):
        return self._code

    def details(self):
        return self._details

    def trailing_metadata(self):
        return self._trailing

    def _unused(self, *arguments):
        raise NotImplementedError

    initial_metadata = is_active = time_remaining = cancel = add_callback = _unused


def failed_with(status: status_pb2.Status) -> FailedCall:
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    return FailedCall(code, status.message, (("grpc-status-details-bin", status.SerializeToString()),))


def outcome_of(result, head="imagenet") -> pb.HeadOutcome:
    outcome = pb.HeadOutcome(head=head, model_version="1", head_ms=0.5)
    put_result(outcome, result)
    return outcome


def test_what_is_not_given_is_not_sent():
    request = messages.task_request(CLASSIFY, b"jpeg", None, {"top_k": None})
    assert (request.image.data, request.head) == (b"jpeg", "")
    assert not request.HasField("top_k")


def test_head_and_top_k_are_sent():
    request = messages.task_request(CLASSIFY, b"jpeg", "flowers102", {"top_k": 3})
    assert (request.head, request.top_k) == ("flowers102", 3)


def test_words_and_lists_are_sent_as_the_contract_has_them():
    request = messages.task_request(task_of("segmentation"), b"png", None, {"format": "rle", "confidence_map": True})
    assert (request.format, request.confidence_map) == (pb.MASK_FORMAT_RLE, True)
    request = messages.task_request(task_of("detection"), b"png", "coco", {"classes": ("car", "bus"), "masks": False})
    assert (list(request.classes), request.HasField("masks"), request.HasField("nms_iou")) == (
        ["car", "bus"],
        True,
        False,
    )


@pytest.mark.parametrize(
    ("task", "params", "fault"),
    [
        ("detection", {"score": 0.5}, "Detect knows no 'score'; it knows score_threshold, nms_iou, "),
        ("regression", {"head": "x"}, "Regress knows no 'head'; it knows no parameters"),
        ("detection", {"classes": "car"}, r"classes is a list of names: write \['car'\]"),
        ("segmentation", {"format": "jpeg"}, "'jpeg' is no MaskFormat"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_before_it_is_sent(task, params, fault):
    with pytest.raises((TypeError, ValueError), match=fault):
        messages.task_request(task_of(task), b"png", None, params)


def test_heads_are_asked_by_name_by_pair_or_in_full():
    asks = ["a", ("b", {"top_k": 3}), HeadAsk("c", {"names": ["x", "y"]}, required=True)]
    request = messages.analyze_request(b"jpeg", asks)
    assert [ask.head for ask in request.heads] == ["a", "b", "c"]
    assert [ask.required for ask in request.heads] == [False, False, True]
    assert not request.heads[0].HasField("params")
    assert request.heads[1].params["top_k"] == 3
    assert list(request.heads[2].params["names"]) == ["x", "y"]


def test_one_string_in_place_of_a_list_of_heads_is_refused():
    with pytest.raises(TypeError, match=r"write \['imagenet'\]"):
        messages.analyze_request(b"jpeg", "imagenet")


def test_parameters_that_json_does_not_have_are_refused():
    with pytest.raises(InvalidRequestError, match="JSON"):
        messages.analyze_request(b"jpeg", [("a", {"when": object()})])


def test_a_classification_comes_back_as_values():
    response = pb.ClassifyResponse(outcome=outcome_of(LABELS))
    response.image_size.width, response.image_size.height = 640, 480
    response.timings.decode_ms, response.timings.total_ms = 4.0, 16.0
    answer = messages.task_answer(CLASSIFY, response)
    assert (answer.head, answer.version, answer.result) == ("imagenet", "1", LABELS)
    assert answer.image_size == (640, 480)
    assert (answer.timings.decode_ms, answer.timings.total_ms) == (4.0, 16.0)


def test_a_classify_answer_that_is_no_classification_is_an_error():
    response = pb.ClassifyResponse(outcome=outcome_of(Regression(())))
    with pytest.raises(ServiceError, match="no classification"):
        messages.task_answer(CLASSIFY, response)


def test_a_regression_comes_back_as_values():
    result = Regression((Quantity("tilt", 12.5, "deg"), Quantity("cells", 3.0)))
    assert messages.task_request(REGRESS, b"jpeg", None, {}).head == ""
    assert messages.task_request(REGRESS, b"jpeg", "tilt", {}).head == "tilt"
    answer = messages.task_answer(REGRESS, pb.RegressResponse(outcome=outcome_of(result, "tilt")))
    assert (answer.head, answer.version, answer.result) == ("tilt", "1", result)


def test_a_regress_answer_that_is_no_regression_is_an_error():
    with pytest.raises(ServiceError, match="no regression"):
        messages.task_answer(REGRESS, pb.RegressResponse(outcome=outcome_of(LABELS)))


def test_each_head_keeps_its_own_result_or_error():
    failed = pb.HeadOutcome(head="flowers102", model_version="2")
    failed.error.CopyFrom(to_head_error(BackboneMismatchError.between("flowers102", "b/1", "1" * 64, "2" * 64)))
    response = pb.AnalyzeResponse(
        outcomes=[outcome_of(LABELS), failed, outcome_of(Embedding("space", (1.0, 0.0)), "pets")], backbone_passes=1
    )
    answer = messages.analyze_answer(response)
    assert answer["imagenet"].value() == LABELS
    assert answer["pets"].value() == Embedding("space", (1.0, 0.0))
    assert answer["flowers102"].result is None
    with pytest.raises(ServiceError) as caught:
        answer["flowers102"].value()
    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "BACKBONE_MISMATCH")
    assert caught.value.metadata["served_backbone_digest"] == "2" * 64
    with pytest.raises(KeyError):
        answer["unasked"]


def test_a_result_of_a_newer_service_is_an_error_that_says_so():
    answer = messages.analyze_answer(pb.AnalyzeResponse(outcomes=[pb.HeadOutcome(head="new")]))
    with pytest.raises(ServiceError, match="update trunkline"):
        answer["new"].value()


def test_a_served_head_comes_back_with_every_field():
    head = pb.Head(name="imagenet", features=["pooled"], labels=["tench", "goldfish"], fault="why", mode="pretrained")
    served = messages.served_head(head)
    assert (served.name, served.features, served.labels) == ("imagenet", ("pooled",), ("tench", "goldfish"))
    assert (served.ready, served.fault, served.mode) == (False, "why", "pretrained")
    assert set(vars(served)) == {field.name for field in pb.Head.DESCRIPTOR.fields}


@pytest.mark.parametrize("form", ["call", "status", "head"])
def test_an_error_says_what_the_service_said(form):
    error = NotFoundError("there is no head 'x'; heads served: imagenet", head="x")
    status = to_status(error)
    found = {
        "call": lambda: from_rpc_error(failed_with(status), "here:1", 1),
        "status": lambda: from_status(status),
        "head": lambda: from_head_error(to_head_error(error)),
    }[form]()
    assert (found.code, found.reason, found.message) == ("NOT_FOUND", "NOT_FOUND", error.message)
    assert found.metadata == {"head": "x"}
    assert found.retry_after_s is None
    assert str(found) == error.message


def test_a_full_queue_says_when_to_try_again():
    error = QueueFullError("full", retry_after_s=0.25)
    assert from_status(to_status(error)).retry_after_s == 0.25
    assert from_head_error(to_head_error(error)).retry_after_s == 0.25


def test_an_error_of_another_server_keeps_its_code():
    found = from_status(status_pb2.Status(code=grpc.StatusCode.ABORTED.value[0], message="proxy says no"))
    assert (found.code, found.reason, found.message) == ("ABORTED", "ABORTED", "proxy says no")


def test_a_server_that_cannot_be_reached_is_named_with_what_to_do():
    found = from_rpc_error(FailedCall(grpc.StatusCode.UNAVAILABLE, "long\nstory"), "here:1", 1)
    assert isinstance(found, UnreachableError)
    assert found.message == "no service answers at here:1; start one with: trunkline serve"
    assert found.metadata == {"target": "here:1", "cause": "long story"}


def test_a_call_out_of_time_says_how_long_it_waited():
    found = from_rpc_error(FailedCall(grpc.StatusCode.DEADLINE_EXCEEDED), "here:1", 2.5)
    assert found.message == "here:1 did not answer within 2.5 s"


def test_a_server_of_another_kind_is_recognised():
    found = from_rpc_error(FailedCall(grpc.StatusCode.UNIMPLEMENTED, "Method not found!"), "here:1", 1)
    assert "not a Trunkline gateway" in found.message


def test_any_other_failure_is_one_line():
    found = from_rpc_error(FailedCall(grpc.StatusCode.INTERNAL, "a\nb"), "here:1", 1)
    assert found.message == "the call to here:1 failed: a b"


def test_an_error_survives_the_way_between_processes():
    error = ServiceError("NOT_FOUND", "NOT_FOUND", "there is no head", {"head": "x"}, 0.5)
    copied = pickle.loads(pickle.dumps(error))
    assert vars(copied) == vars(error)
    assert str(copied) == "there is no head"


def test_waiting_gives_up_with_the_last_thing_seen():
    readiness = Readiness("here:1", timeout_s=0)
    with pytest.raises(ServiceError, match=r"here:1 was not ready within 0 s: it says NOT_SERVING"):
        readiness.saw(2)
    with pytest.raises(UnreachableError):
        readiness.failed(FailedCall(grpc.StatusCode.UNAVAILABLE))


def test_waiting_goes_on_while_there_is_time_and_ends_with_serving():
    readiness = Readiness("here:1", timeout_s=60)
    readiness.failed(FailedCall(grpc.StatusCode.UNAVAILABLE))
    readiness.saw(2)
    assert not readiness.reached
    readiness.saw(1)
    assert readiness.reached


def test_waiting_ends_at_once_where_it_cannot_help():
    with pytest.raises(ServiceError, match="not a Trunkline gateway"):
        Readiness("here:1", timeout_s=60).failed(FailedCall(grpc.StatusCode.UNIMPLEMENTED))


@pytest.mark.parametrize(
    ("target", "bypassed"),
    [
        ("127.0.0.1:8500", True),
        ("127.8.9.10:8500", True),
        ("localhost:1", True),
        ("LOCALHOST.:1", True),
        ("[::1]:8500", True),
        ("[::ffff:127.0.0.1]:8500", True),
        ("0.0.0.0:8500", True),
        ("[::]:8500", True),
        ("dns:///localhost:8500", True),
        ("dns:127.0.0.1:8500", True),
        ("ipv4:127.0.0.1:8500,127.0.0.2:8501", True),
        ("ipv6:[::1]:8500", True),
        ("ipv6:%5B::1%5D:8500", True),
        ("unix:/run/trunkline.sock", True),
        ("gpu:8500", False),
        ("localhost.example.com:8500", False),
        ("127.example.com:8500", False),
        ("dns:///heads:8502", False),
        ("ipv4:127.0.0.1:8500,10.0.0.1:8500", False),
        ("10.0.0.1:8500", False),
        ("xds:///heads", False),
    ],
)
def test_a_proxy_is_never_asked_for_this_machine(target, bypassed):
    assert (("grpc.enable_http_proxy", 0) in options_for(target)) == bypassed


def test_a_connection_that_ends_as_a_stream_begins_is_no_service_that_is_reached():
    ended = grpc.aio.AioRpcError(
        grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(), "Internal error from Core"
    )
    found = from_rpc_error(ended, "127.0.0.1:8500", 1)
    assert isinstance(found, UnreachableError)
    assert found.code == "UNAVAILABLE"
