"""Requests over their limits at real ports, in both forms: refused by field, cheaply, and one by one in streams."""

import asyncio
import time

import grpc
import numpy as np
import pytest
import pytest_asyncio
from google.protobuf import struct_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from trunkline.api.catalog.v1 import catalog_service_pb2
from trunkline.api.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2
from trunkline.api.inference.v1.backbone_service_pb2_grpc import BackboneServiceStub
from trunkline.api.inference.v1.head_service_pb2_grpc import HeadServiceStub
from trunkline.api.oip.v2 import inference_service_pb2 as oip
from trunkline.api.oip.v2.inference_service_pb2_grpc import GRPCInferenceServiceStub
from trunkline.api.vision.v1 import gallery_service_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.gallery_service_pb2_grpc import GalleryServiceStub
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.assembly import roles
from trunkline.client import AsyncClient
from trunkline.serving.status import error_info
from trunkline.testing import serve, serve_split
from trunkline.testing.serve import local_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
ECHO = "do-not-say-this-again"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[serve, serve_split])
async def host(request, models, tmp_path_factory):
    database = f"sqlite:///{tmp_path_factory.mktemp('galleries')}/galleries.db"
    async with request.param(models=models, heads=["imagenet", "flowers102"], gallery_database=database) as found:
        async with AsyncClient(found.address) as client:
            await client.wait_ready(timeout_s=60)
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def channel(host):
    async with grpc.aio.insecure_channel(host.address, options=[("grpc.max_send_message_length", -1)]) as found:
        yield found


@pytest.fixture(scope="module")
def picture(photos) -> bytes:
    return photos[0].read_bytes()


async def refusal(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_info(rpc_status.from_call(caught.value))
    assert (caught.value.code().name, info.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert len(caught.value.details()) < 200
    assert ECHO not in caught.value.details()
    return caught.value.details()


def params(**values) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


async def test_calls_about_pictures_are_refused_by_field(channel, picture):
    vision, image = VisionServiceStub(channel), {"data": picture}
    heads = [{"head": f"{ECHO} {number}"} for number in range(5_000)]
    assert "heads has 5,000 items; at most 64" in await refusal(vision.Analyze(pb.AnalyzeRequest(heads=heads)))
    long = pb.ClassifyRequest(image=image, head=ECHO * 1000)
    assert "head has 21,000 characters; at most 255" in await refusal(vision.Classify(long))
    assert "head has 21,000" in await refusal(vision.GetHead(pb.GetHeadRequest(head=ECHO * 1000)))
    many = pb.DetectRequest(image=image, classes=["person"] * 15_000)
    assert "classes has 15,000 items" in await refusal(vision.Detect(many))
    deep = pb.HeadRequest(head="imagenet", params=params(top_k=[[[[[[[[[[3]]]]]]]]]]))
    assert "heads[0].params is nested too deeply" in await refusal(vision.Analyze(pb.AnalyzeRequest(heads=[deep])))
    wide = pb.HeadRequest(head="imagenet", params=params(**{f"name {number}": 1 for number in range(3000)}))
    assert "heads[0].params has too many values" in await refusal(vision.Analyze(pb.AnalyzeRequest(heads=[wide])))
    budget = pb.HeadRequest(head="imagenet", budget={"seconds": 10**11})
    assert "heads[0].budget is not a valid time" in await refusal(vision.Analyze(pb.AnalyzeRequest(heads=[budget])))
    vector = pb.CompareRequest(first_image=image, second_embedding={"values": np.ones(1_000_000, np.float32)})
    assert "second_embedding.values has 1,000,000 items" in await refusal(vision.Compare(vector))
    token = pb.ListHeadsRequest(page_token=ECHO * 1000)
    assert "page_token has 21,000 characters" in await refusal(vision.ListHeads(token))


async def test_as_many_heads_as_are_allowed_are_answered(channel, picture):
    """The limit is no lower than what was there to be asked: each outcome says that a head is not served."""
    request = pb.AnalyzeRequest(image={"data": picture}, heads=[{"head": f"head-{number}"} for number in range(63)])
    request.heads.add(head="imagenet", params=params(top_k=2))
    answer = await VisionServiceStub(channel).Analyze(request)
    assert [outcome.error.reason for outcome in answer.outcomes] == ["NOT_FOUND"] * 63 + [""]
    assert len(answer.outcomes[-1].classification.labels) == 2


async def test_galleries_and_the_catalog_are_asked_within_limits(channel):
    galleries, catalog = GalleryServiceStub(channel), CatalogServiceStub(channel)
    long = ECHO * 100
    for call, request in (
        (galleries.CreateGallery, gallery_service_pb2.CreateGalleryRequest(gallery=long, head="imagenet")),
        (galleries.GetGallery, gallery_service_pb2.GetGalleryRequest(gallery=long)),
        (galleries.ListGalleries, gallery_service_pb2.ListGalleriesRequest(page_token=long)),
        (galleries.DeleteImages, gallery_service_pb2.DeleteImagesRequest(gallery="g", ids=[long])),
        (galleries.SearchGallery, gallery_service_pb2.SearchGalleryRequest(gallery=long)),
        (catalog.GetModelVersion, catalog_service_pb2.GetModelVersionRequest(name=long)),
        (catalog.SetAlias, catalog_service_pb2.SetAliasRequest(name="imagenet", alias=long, version=1)),
        (catalog.ListModels, catalog_service_pb2.ListModelsRequest(page_token=long)),
    ):
        assert " has 2,100 characters; at most 255 are allowed" in await refusal(call(request))
    ids = gallery_service_pb2.DeleteImagesRequest(gallery="g", ids=["x"] * 1001)
    assert "ids has 1,001 items; at most 1,000" in await refusal(galleries.DeleteImages(ids))
    for number in (float("nan"), float("inf")):
        search = gallery_service_pb2.SearchGalleryRequest(gallery="g", embedding={"values": [1.0]}, threshold=number)
        assert await refusal(galleries.SearchGallery(search)) == "threshold is not a finite number"
        canary = catalog_service_pb2.SetCanaryRequest(name="imagenet", version=1, share=number)
        assert await refusal(catalog.SetCanary(canary)) == "share is not a finite number"
        margin = catalog_service_pb2.PromoteModelVersionRequest(name="imagenet", version=1, margin=number)
        assert await refusal(catalog.PromoteModelVersion(margin)) == "margin is not a finite number"


async def test_the_open_inference_protocol_has_the_same_limits(channel, picture):
    infer = GRPCInferenceServiceStub(channel)
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [picture]}}
    inputs = oip.ModelInferRequest(model_name="imagenet", inputs=[{"name": "image"}] * 5000)
    assert "inputs has 5,000 items; at most 64" in await refusal(infer.ModelInfer(inputs))
    numbers = {"name": "pooled", "datatype": "FP32", "shape": [1, 1280], "contents": {"fp32_contents": [0.0] * 2**21}}
    floats = oip.ModelInferRequest(model_name="imagenet", inputs=[numbers])
    assert "inputs[0].contents.fp32_contents has 2,097,152 items" in await refusal(infer.ModelInfer(floats))
    some = {f"name {number}": oip.InferParameter(bool_param=True) for number in range(65)}
    parameters = oip.ModelInferRequest(model_name="imagenet", inputs=[tensor], parameters=some)
    assert "parameters has 65 items" in await refusal(infer.ModelInfer(parameters))
    heads = {"heads": oip.InferParameter(string_param=",".join(f"h{number}" for number in range(65)))}
    asked = oip.ModelInferRequest(model_name="analyze", inputs=[tensor], parameters=heads)
    assert "64" in await refusal(infer.ModelInfer(asked))
    assert "name has 2,100 characters" in await refusal(infer.ModelReady(oip.ModelReadyRequest(name=ECHO * 100)))
    empty = oip.ModelInferRequest(model_name="imagenet", inputs=[{**tensor, "contents": None}])
    empty.raw_input_contents.append(b"\0" * 4_000_000)
    assert "has more values than its shape, 1" in await refusal(infer.ModelInfer(empty))


@pytest.mark.parametrize("shape", [[0, 2**62], [2**40, 2**40], [0, 2**31, 2**31, 2**31], [1] * 16, [-1, 4]])
async def test_shapes_that_no_array_has_are_refused(channel, shape):
    contents = {"name": "pooled", "datatype": "FP32", "shape": shape}
    request = oip.ModelInferRequest(model_name="imagenet", inputs=[contents], raw_input_contents=[b""])
    await refusal(GRPCInferenceServiceStub(channel).ModelInfer(request))


async def test_a_stream_of_pictures_loses_the_one_that_is_over_a_limit(channel, picture):
    def asked(key, **more):
        return pb.AnalyzeStreamRequest(id=key, image={"data": picture}, **{"heads": [{"head": "imagenet"}], **more})

    long = ECHO * 100
    requests = [
        asked("first"),
        asked("heads", heads=[{"head": "imagenet"}] * 65),
        asked(long),
        asked("budget", budget={"seconds": 2**62}),
        asked("last"),
    ]
    ends = {}
    async for message in VisionServiceStub(channel).AnalyzeStream(iter(requests)):
        assert message.WhichOneof("event") != "outcome" or message.id in ("first", "last")
        if message.WhichOneof("event") != "outcome":
            ends[message.id] = message.error.message
    assert set(ends) == {"first", "heads", long[:255], "budget", "last"}
    assert (ends["first"], ends["last"]) == ("", "")
    assert ends["heads"] == "heads has 65 items; at most 64 are allowed"
    assert ends[long[:255]] == "id has 2,100 characters; at most 255 are allowed"
    assert ends["budget"].startswith("budget is not a valid time")


async def test_a_stream_of_images_loses_the_one_that_is_over_a_limit(channel):
    long = ECHO * 100
    requests = [
        gallery_service_pb2.AddImagesRequest(gallery="none", id="a", embedding={"values": [1.0]}),
        gallery_service_pb2.AddImagesRequest(gallery="none", id=long, embedding={"values": [1.0]}),
        gallery_service_pb2.AddImagesRequest(gallery="none", id="b", embedding={"values": [1.0] * 70_000}),
        gallery_service_pb2.AddImagesRequest(gallery=long, id="c", embedding={"values": [1.0]}),
    ]
    found = {}
    async for message in GalleryServiceStub(channel).AddImages(iter(requests)):
        assert len(message.id) <= 255
        assert ECHO not in message.error.message
        found[message.index] = message.error.reason
    assert found == {0: "NOT_FOUND", 1: "INVALID_REQUEST", 2: "INVALID_REQUEST", 3: "INVALID_REQUEST"}


async def test_a_stream_of_inferences_loses_the_one_that_is_over_a_limit(channel, picture):
    def asked(key, name="imagenet", **more):
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [picture]}}
        return oip.ModelInferRequest(model_name=name, id=key, **{"inputs": [tensor], **more})

    requests = [asked("0"), asked("1", name=ECHO * 100), asked("2" * 300), asked("3", inputs=[{}] * 65), asked("4")]
    answers = [each async for each in GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(requests))]
    texts = [each.error_message for each in answers]
    assert [bool(text) for text in texts] == [False, True, True, True, False]
    assert texts[1] == "model_name has 2,100 characters; at most 255 are allowed"
    assert texts[2] == "id has 300 characters; at most 255 are allowed"
    assert texts[3] == "inputs has 65 items; at most 64 are allowed"
    assert max(len(each.infer_response.SerializeToString()) for each in answers if each.error_message) < 1000


async def test_services_behind_the_gateway_check_what_they_are_asked(models):
    settings = local_settings(models=models, heads=["imagenet"])
    async with roles.backbone(settings) as backbone, grpc.aio.insecure_channel(backbone.address) as channel:
        stub = BackboneServiceStub(channel)
        names = backbone_service_pb2.ExtractFeaturesRequest(features=["c2"] * 300)
        assert "features has 300 items; at most 256" in await refusal(stub.ExtractFeatures(names))
        blocks = backbone_service_pb2.ExtractFeaturesRequest(released=[{"arena": "a"}] * 5000)
        assert "released has 5,000 items" in await refusal(stub.ExtractFeatures(blocks))
    async with roles.heads(settings) as head, grpc.aio.insecure_channel(head.address) as channel:
        stub = HeadServiceStub(channel)
        for shape in ([2**33, 2**31], [0, 2**62], [0, 2**31, 2**31, 2**31], [1] * 40, [-1]):
            tensor = {"dtype": 3, "shape": shape}
            await refusal(stub.Predict(head_service_pb2.PredictRequest(head="imagenet", features={"pooled": tensor})))
        questions = head_service_pb2.PredictAllRequest(questions=[{"head": "imagenet"}] * 5000)
        assert "questions has 5,000 items" in await refusal(stub.PredictAll(questions))


async def test_health_checks_go_on_beside_a_request_of_many_heads(all_in_one):
    request = pb.AnalyzeRequest(heads=[pb.HeadRequest(head="x")] * 100)
    raw = request.SerializeToString() * 20_000
    longest, done = 0.0, asyncio.Event()

    async def watch(health) -> None:
        nonlocal longest
        while not done.is_set():
            started = time.perf_counter()
            await health.Check(health_pb2.HealthCheckRequest(), timeout=60)
            longest = max(longest, time.perf_counter() - started)
            await asyncio.sleep(0.005)

    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(all_in_one.address, options=options) as channel:
        watching = asyncio.create_task(watch(health_pb2_grpc.HealthStub(channel)))
        call = channel.unary_unary("/trunkline.api.vision.v1.VisionService/Analyze")
        await refusal(call(raw, timeout=60))
        done.set()
        await watching
    assert longest < 5.0  # it was more than twelve seconds for twice as many
