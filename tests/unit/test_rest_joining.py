"""Large fields that are put behind the others are those that a message with them has."""

import pytest

from trunkline.api.oip.v2 import inference_service_pb2 as oip
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.gateway.rest.joining import with_contents, with_pictures


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000, 3_000_000])
def test_pictures_are_read_as_if_they_had_been_set(size):
    picture = bytes(range(256)) * (size // 256) + bytes(size % 256)
    first, second = [picture[: size // 3], picture[size // 3 :]], [picture[::-1]]
    message = pb.CompareRequest(head="pets")
    message.second_image.SetInParent()
    found = pb.CompareRequest.FromString(with_pictures(message, {"first_image": first, "second_image": second}))
    assert (found.first_image.data, found.second_image.data, found.head) == (picture, picture[::-1], "pets")
    assert found.WhichOneof("second") == "second_image"


def test_contents_keep_their_order():
    contents = [b"a", memoryview(b"bcd")[1:], b""]
    message = oip.ModelInferRequest(model_name="imagenet")
    found = oip.ModelInferRequest.FromString(with_contents(message, "raw_input_contents", contents))
    assert list(found.raw_input_contents) == [b"a", b"cd", b""]
    assert found.model_name == "imagenet"
