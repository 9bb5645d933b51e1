"""What goes onto the wire comes off it unchanged."""

import math
from dataclasses import replace

import numpy as np
import pytest

from trunkline.api.catalog.v1 import catalog_service_pb2
from trunkline.api.inference.v1 import backbone_service_pb2, preprocess_pb2, tensor_pb2
from trunkline.api.vision.v1 import gallery_service_pb2, vision_service_pb2
from trunkline.core.bundle import FeatureSpec
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import BackboneInfo, HeadAnswer, HeadInfo, RemoteResult
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import (
    Box,
    Calibration,
    Classification,
    Custom,
    Detection,
    Detections,
    Embedding,
    Quantity,
    Regression,
    RunLengthMask,
    ScoredLabel,
    Segmentation,
    SegmentClass,
)
from trunkline.serving import catalog_wire, wire, wire_galleries, wire_results

CAT = ScoredLabel(1, "cat", 0.75)
MASK = RunLengthMask(4, 3, "52203")
RESULTS = [
    Classification((CAT, ScoredLabel(0, "dog", 0.25))),
    Regression((Quantity("angle", 12.5, "deg"), Quantity("count", 3.0))),
    Detections(()),
    Detections((Detection(Box(1.0, 2.0, 3.5, 4.0), CAT), Detection(Box(0.0, 0.0, 1.0, 1.0), CAT, MASK))),
    Segmentation(b"png", (SegmentClass(2, "road", 0.5, 0.75, MASK), SegmentClass(3, "sky", 0.5, 0.25))),
    Embedding("pets/1", (0.5, -0.25)),
    Embedding("pets/2", (0.5, -0.25), Calibration(0.8, -7.5, 6.0)),
    Custom({"level": 3.0, "names": ["a", "b"], "deep": {"yes": True}}),
]


INFINITE = {"number_value": math.inf}


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_every_result_comes_back_as_it_was(result):
    outcome = vision_service_pb2.HeadOutcome()
    wire_results.put_result(outcome, result)
    read = vision_service_pb2.HeadOutcome.FromString(outcome.SerializeToString())
    assert wire_results.get_result(read) == result


def test_an_outcome_with_an_error_has_no_result():
    outcome = vision_service_pb2.HeadOutcome(error=vision_service_pb2.HeadError(code=5))
    assert wire_results.get_result(outcome) is None


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "i8"])
@pytest.mark.parametrize("shape", [(1, 3, 4), (1, 0), (2, 1280)])
def test_tensors_come_back_bit_for_bit(dtype, shape):
    array = np.random.default_rng(1).normal(size=shape).astype(dtype)
    found = wire.tensor_from_pb(wire.tensor_to_pb(array))
    assert found.dtype == array.dtype
    assert found.shape == shape
    assert found.tobytes() == array.tobytes()


def test_a_dtype_that_the_wire_does_not_know_is_a_type_error():
    with pytest.raises(TypeError, match="float64"):
        wire.tensor_to_pb(np.zeros(3))


@pytest.mark.parametrize(
    "tensor",
    [
        tensor_pb2.Tensor(shape=[1], data=b"1234"),
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[2], data=b"1234"),
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[-1], data=b"1234"),
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[1 << 40, 1 << 40], data=b"1234"),
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_INT64, shape=[1 << 32, 1 << 32], data=b""),  # 2^64 is 0 in int64
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=[(1 << 62) + 1, 4], data=b"1234"),
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[0, 1 << 62, 1 << 62], data=b""),
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[1] * 65, data=b"1234"),
    ],
)
def test_a_tensor_that_does_not_fit_its_shape_is_refused(tensor):
    with pytest.raises(InvalidRequestError):
        wire.tensor_from_pb(tensor)


def test_a_spec_and_its_fingerprint_survive():
    spec = PreprocessSpec(resize="crop", width=320, height=256, crop_share=0.875, interpolation="bilinear")
    assert wire.spec_from_pb(wire.spec_to_pb(spec)).fingerprint == spec.fingerprint


def test_an_illegal_spec_is_refused_by_name():
    with pytest.raises(InvalidRequestError, match=r"preprocess\.width"):
        wire.spec_from_pb(preprocess_pb2.PreprocessSpec(resize="squash", width=100, height=224, crop_share=1))


@pytest.mark.parametrize("size", [(2048, 2048), (4096, 544), (100_000, 100_000), (-32, 32)])
def test_a_spec_whose_pass_would_take_too_much_is_refused(size):
    width, height = size
    with pytest.raises(InvalidRequestError, match="preprocess"):
        wire.spec_from_pb(preprocess_pb2.PreprocessSpec(resize="pad", width=width, height=height, crop_share=1))


def test_frames_and_descriptions_survive():
    frame = Frame(640, 480, 2.5, 0.25, 2.25, -1.5, 224, 192)
    backbone = BackboneInfo("lite", "3", "ab" * 32, (FeatureSpec(name="c2", channels=24, stride=4),))
    assert wire.frame_from_pb(wire.frame_to_pb(frame)) == frame
    assert wire.backbones_from_pb(wire.backbones_to_pb([backbone])) == [backbone]
    two = [backbone, replace(backbone, version="4", digest="cd" * 32)]
    assert wire.backbones_from_pb(wire.backbones_to_pb(two)) == two
    assert wire.backbones_from_pb(wire.backbones_to_pb([])) == []


def test_a_service_that_knows_of_one_backbone_and_a_gateway_that_does_understand_the_newer_other_side():
    backbone = BackboneInfo("lite", "3", "ab" * 32, (FeatureSpec(name="c2", channels=24, stride=4),))
    sent = wire.backbones_to_pb([backbone, replace(backbone, version="4", digest="cd" * 32)])
    assert (sent.name, sent.version, sent.digest) == ("lite", "3", "ab" * 32)
    del sent.backbones[:]
    assert wire.backbones_from_pb(sent) == [backbone]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_an_answer_of_another_process_is_handed_on_unread_and_can_be_read(result):
    sent = wire_results.outcome_to_pb("h", HeadAnswer(result, "3", 2.0, 0.5))
    came = vision_service_pb2.HeadOutcome.FromString(sent.SerializeToString())
    answer = wire_results.remote_answer(came)
    assert isinstance(answer.result, RemoteResult)
    assert (answer.version, answer.head_ms, answer.queue_ms) == ("3", 2.0, 0.5)
    assert answer.read() == result
    passed_on = wire_results.outcome_to_pb("h@alias", answer)
    assert passed_on.head == "h@alias"
    passed_on.head = "h"
    assert passed_on == sent


def test_an_outcome_without_a_result_is_no_answer():
    assert wire_results.remote_answer(vision_service_pb2.HeadOutcome(head="h")) is None
    assert wire_results.remote_answer(vision_service_pb2.HeadOutcome(error={"code": 3})) is None


def test_descriptions_of_heads_survive():
    spec = PreprocessSpec()
    head = HeadInfo("h", "2", "regression", "d", "lite/3", "e", ("c4", "c5"), spec, "transfer", ("a",), "broken")
    assert wire.head_from_pb(wire.head_to_pb(head), spec) == head


def test_parameters_are_json_values():
    params = {"top_k": 3.0, "name": "x", "flag": True, "list": [1.0, 2.0]}
    assert wire.params_from_pb(wire.params_to_pb(params)) == params
    with pytest.raises(InvalidRequestError, match="JSON"):
        wire.params_to_pb({"bad": object()})
    for number in (math.nan, math.inf):
        with pytest.raises(InvalidRequestError, match="finite"):
            wire.params_from_pb(wire.params_to_pb({"bad": number}))


def _gallery(**fields) -> gallery_service_pb2.Gallery:
    return gallery_service_pb2.Gallery(name="things", **fields)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (wire_galleries.gallery_from_pb, _gallery(create_time={"seconds": 2**62})),
        (wire_galleries.gallery_from_pb, _gallery(create_time={"nanos": -5})),
        (wire_galleries.gallery_from_pb, _gallery(reembedding={"state": 77})),  # as a newer service may send
        (wire_galleries.status_from_pb, 77),
        (catalog_wire.model_from_pb, catalog_service_pb2.Model(name="a", default_version=1, history=[-3])),
        (catalog_wire.version_from_pb, catalog_service_pb2.ModelVersion(evaluation={"digest": "x"})),
        (
            wire.backbones_from_pb,
            backbone_service_pb2.DescribeBackboneResponse(digest="d", features=[{"name": "../c2"}]),
        ),
        (
            wire_results.get_result,
            vision_service_pb2.HeadOutcome(custom={"fields": {"a": {"number_value": math.inf}}}),
        ),
    ],
)
def test_what_another_process_sent_is_a_value_or_refused(read, message):
    with pytest.raises(InvalidRequestError):
        read(message)
