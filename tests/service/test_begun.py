"""The headers of an answer say that a heavy request was begun; those of others come with the answer."""

import io

import grpc
import pytest
from PIL import Image

from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1 import vision_service_pb2_grpc as pb_grpc
from trunkline.client import AsyncClient, ServiceError
from trunkline.serving.begun import heavy_check
from trunkline.testing.serve import serve, serve_split

MIB = 1024 * 1024


def encoded(size: tuple[int, int], kind: str = "png") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size).save(written, kind)
    return written.getvalue()


HEAVY = encoded((4200, 4200))  # 71 MB of pixels


ASKS = {
    "classify": lambda picture: pb.ClassifyRequest(image={"data": picture}),
    "compare": lambda picture: pb.CompareRequest(first_image={"data": b""}, second_image={"data": picture}),
    "backbone": lambda picture: backbone_service_pb2.ExtractFeaturesRequest(image=picture),
}


@pytest.mark.parametrize("call", ASKS)
@pytest.mark.parametrize(
    ("picture", "heavy"),
    [
        (HEAVY, True),
        (encoded((5000, 5000), "jpeg"), True),  # as the spec that asks for most would have it
        (b"\x89PNG\r\n\x1a\n" + bytes(9 * MIB), True),
        (encoded((4000, 3000), "jpeg"), False),
        (encoded((224, 224)), False),
        (b"no picture", False),
        (b"", False),
    ],
    ids=["large PNG", "large JPEG", "many bytes", "photograph", "small", "no picture", "nothing"],
)
def test_heavy_is_what_takes_much_memory(call, picture, heavy):
    message = ASKS[call](picture)
    assert heavy_check(message.DESCRIPTOR)(message) == heavy


def test_an_answer_about_a_large_picture_is_heavy():
    check = heavy_check(head_service_pb2.PredictRequest.DESCRIPTOR)
    assert check(head_service_pb2.PredictRequest(frame={"image_width": 7000, "image_height": 7000}))
    assert not check(head_service_pb2.PredictRequest(frame={"image_width": 4000, "image_height": 3000}))


def test_nothing_else_is_heavy():
    assert not heavy_check(pb.ListHeadsRequest.DESCRIPTOR)(pb.ListHeadsRequest())
    assert not heavy_check(None)(b"")


@pytest.mark.parametrize("form", [serve, serve_split])
async def test_a_gateway_says_that_it_has_begun_and_then_answers_as_ever(form):
    async with form(heads=("imagenet",)) as host, grpc.aio.insecure_channel(host.address) as channel:
        async with AsyncClient(host.address) as client:
            await client.wait_ready()
        stub = pb_grpc.VisionServiceStub(channel)
        for picture, begun in [(HEAVY, True), (encoded((224, 224)), False)]:
            call = stub.Classify(pb.ClassifyRequest(image={"data": picture}, head="imagenet"), timeout=60)
            keys = {key for key, _ in await call.initial_metadata()}
            assert ("trunkline-begun" in keys) == begun
            assert (await call).outcome.classification.labels


async def test_a_heavy_picture_that_is_refused_has_the_status_of_a_small_one():
    async with serve(heads=("imagenet",)) as host, AsyncClient(host.address) as client:
        await client.wait_ready()
        for picture in (b"\x89PNG\r\n\x1a\n" + bytes(9 * MIB), b"\x89PNG\r\n\x1a\n"):
            with pytest.raises(ServiceError) as caught:
                await client.classify(picture, "imagenet", timeout_s=30)
            assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "INVALID_IMAGE")
