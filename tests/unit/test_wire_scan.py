"""What a message costs to parse is known before it is parsed."""

import pytest

from trunkline.api.inference.v1 import head_service_pb2
from trunkline.api.oip.v2 import inference_service_pb2 as oip
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.serving.wire_scan import check_structure

PICTURE = b"\xff" * 3_000_000


def params(count: int) -> dict[str, object]:
    return {f"name-{number:09}": [number] * 3 for number in range(count)}


def many_heads() -> pb.AnalyzeRequest:
    return pb.AnalyzeRequest(image={"data": PICTURE}, heads=[{"head": "x"}] * 21_000)


def long_params() -> pb.AnalyzeRequest:
    request = pb.AnalyzeRequest(image={"data": PICTURE})
    request.heads.add(head="x").params.update(params(40_000))
    return request


def packed() -> oip.ModelInferRequest:
    tensor = {"name": "x", "contents": {"uint_contents": [1] * 9_000_000}}
    return oip.ModelInferRequest(inputs=[tensor])


@pytest.mark.parametrize("make", [many_heads, long_params, packed])
def test_small_fields_without_end_are_refused(make):
    message = make()
    with pytest.raises(InvalidRequestError, match="fields"):
        check_structure(message.SerializeToString(), message.DESCRIPTOR)


def one_picture() -> pb.ClassifyRequest:
    return pb.ClassifyRequest(image={"data": PICTURE}, head="imagenet")


def tensors() -> head_service_pb2.PredictRequest:
    return head_service_pb2.PredictRequest(features={"c3": {"data": PICTURE}, "c4": {"data": PICTURE}})


def batch() -> oip.ModelInferRequest:
    tensor = {"name": "x", "contents": {"fp32_contents": [0.5] * 700_000}}
    return oip.ModelInferRequest(inputs=[tensor], raw_input_contents=[PICTURE] * 4)


@pytest.mark.parametrize("make", [one_picture, tensors, batch])
def test_pictures_and_tensors_of_any_size_pass(make):
    message = make()
    check_structure(message.SerializeToString(), message.DESCRIPTOR)


@pytest.mark.parametrize("cut", [70_000, 2_999_000, 3_000_011])
def test_what_is_malformed_is_left_to_parsing(cut):
    check_structure(one_picture().SerializeToString()[:cut], pb.ClassifyRequest.DESCRIPTOR)


def test_depth_without_end_is_left_to_parsing():
    nested = b"x" * 70_000
    for _ in range(3000):
        size, length = len(nested), bytearray()
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        nested = (
            b"\x2a" + bytes([*length, size]) + nested
        )  # field 5 of Value is a Struct, of which there is none here
    check_structure(b"\x12" + b"\xff\xff\xff\x7f" + nested, pb.AnalyzeRequest.DESCRIPTOR)
