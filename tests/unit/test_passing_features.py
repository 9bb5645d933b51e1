"""Features on their way through the gateway: handed on unread, and let go of once nobody has them."""

import gc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from trunkline.api.inference.v1 import head_service_pb2, tensor_pb2
from trunkline.core.errors import FeaturesGoneError
from trunkline.core.exchange import HeadQuestion, RemoteFeature
from trunkline.core.preprocess import Frame
from trunkline.gateway.blocks import Blocks
from trunkline.serving import wire

ARRAYS = {
    "c4": np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype("<f4"),
    "image": np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3),
}


def shared_tensor(generation: int, arena: str = "ab" * 16) -> tensor_pb2.Tensor:
    shared = tensor_pb2.SharedRegion(arena=arena, generation=generation, offset=64, length=4)
    return tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=[1, 4], shared=shared)


def passing() -> dict[str, RemoteFeature]:
    return {name: wire.remote_feature(name, wire.tensor_to_pb(array)) for name, array in ARRAYS.items()}


def question(head: str, features: Mapping[str, Any], **fields: Any) -> HeadQuestion:
    return HeadQuestion(head, features, Frame(640, 480, 0, 0, 640, 480, 224, 224), "ab", **fields)


def test_a_request_put_together_from_parts_reads_as_one_message():
    fields = {"version": "3", "params": {"top_k": 2}, "required": False}
    read = head_service_pb2.PredictRequest.FromString(wire.predict_request(question("dogs", passing(), **fields)))
    whole = head_service_pb2.PredictRequest(
        head="dogs",
        version="3",
        backbone_digest="ab",
        params=wire.params_to_pb({"top_k": 2}),
        optional=True,
        frame=wire.frame_to_pb(question("dogs", {}).frame),
        features=wire.tensors_to_pb(ARRAYS),
    )
    assert read == whole
    whole_read = wire.predict_request(question("dogs", ARRAYS, **fields))
    assert head_service_pb2.PredictRequest.FromString(whole_read) == whole


def test_a_head_gets_what_it_declared_and_no_more():
    request = wire.predict_request(question("dogs", {"c4": passing()["c4"]}))
    assert list(head_service_pb2.PredictRequest.FromString(request).features) == ["c4"]


def test_features_of_several_questions_travel_once():
    found = passing()
    asked = [
        question("dogs", {"c4": found["c4"]}, version="2"),
        question("cats", found, params={"top_k": 1}, required=False),
    ]
    request = wire.predict_all_request(asked)
    assert len(request) < sum(len(wire.predict_request(each)) for each in asked)
    read = head_service_pb2.PredictAllRequest.FromString(request)
    assert dict(wire.tensors_from_pb(read.features)).keys() == ARRAYS.keys()
    assert np.array_equal(wire.tensor_from_pb(read.features["c4"]), ARRAYS["c4"])
    assert read.backbone_digest == "ab"
    assert wire.frame_from_pb(read.frame) == asked[0].frame
    assert [(each.head, each.version, set(each.features), each.optional) for each in read.questions] == [
        ("dogs", "2", {"c4"}, False),
        ("cats", "", {"c4", "image"}, True),
    ]
    assert wire.params_from_pb(read.questions[1].params) == {"top_k": 1}


def test_who_wants_the_numbers_of_an_inline_feature_can_have_them():
    for name, array in ARRAYS.items():
        assert np.array_equal(wire.array_of(wire.remote_feature(name, wire.tensor_to_pb(array))), array)
        assert wire.array_of(array) is array
    with pytest.raises(FeaturesGoneError):
        wire.array_of(wire.remote_feature("c4", shared_tensor(1)))


def test_a_block_is_released_with_the_last_feature_that_refers_to_it():
    blocks = Blocks()
    tensors = {name: shared_tensor(7) for name in ("c3", "c4")}
    held = blocks.hold(tensors.values())
    features = {name: wire.remote_feature(name, tensor, held) for name, tensor in tensors.items()}
    del held, features["c3"]
    gc.collect()
    assert blocks.take_released() == []
    del features["c4"]
    assert [block.generation for block in blocks.take_released()] == [7]
    assert blocks.take_released() == []


def test_a_block_that_is_released_is_released_once():
    blocks = Blocks()
    held = blocks.hold([shared_tensor(7)])
    feature = wire.remote_feature("c4", shared_tensor(7), held)
    held.release()
    held.release()
    del held, feature
    gc.collect()
    assert [block.generation for block in blocks.take_released()] == [7]


def test_inline_features_hold_no_block():
    assert Blocks().hold(wire.tensors_to_pb(ARRAYS).values()) is None


def test_blocks_that_nobody_asks_for_do_not_pile_up():
    blocks = Blocks()
    for generation in range(10_000):
        blocks.hold([shared_tensor(generation)])
    assert len(blocks.take_released()) == 4096
