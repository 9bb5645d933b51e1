"""Heads that know several specs share passes where a call allows what that costs, in both forms alike."""

import asyncio
import http.client
import json

import grpc
import numpy as np
import pytest

from tests.service.variants import add_version, repository_with
from trunkline.api.oip.v2 import inference_service_pb2 as oip
from trunkline.api.oip.v2.inference_service_pb2_grpc import GRPCInferenceServiceStub
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import AsyncClient, HeadAsk, ServiceError
from trunkline.core.bundle import variant_bundle
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.heads.discovery import head_class
from trunkline.serving.session import load_session
from trunkline.testing import serve, serve_split

HEADS = ("imagenet", "pets", "camvid")
POINTS = {"imagenet": 20.0, "pets": 6.0}
FORMS = [serve, serve_split]


@pytest.fixture(scope="module")
def repository(models, samples, tmp_path_factory):
    """imagenet and pets with variants under the spec of camvid, and `same`, which loses nothing there."""
    found = repository_with(models, tmp_path_factory.mktemp("planned"), *HEADS)
    spec = Repository(found).head("camvid").manifest.preprocess
    for name, points in POINTS.items():
        add_version(found, name, spec, points, samples / "coffee.jpg")
    return found


@pytest.fixture
def spec(repository):
    return Repository(repository).head("camvid").manifest.preprocess


def known(repository, name, photo, *, under=None):
    """The answer of a head about a picture, computed without any service; under its variant of that spec."""
    head = Repository(repository).head(name)
    if under is not None:
        (variant,) = [each for each in head.manifest.variants if each.preprocess == under]
        head = variant_bundle(head, variant)
    pixels, frame = preprocess(EncodedImage(photo.read_bytes()), head.manifest.preprocess)
    backbone = load_session(Repository(repository).backbone("efficientnet-lite0"))
    outputs = load_session(head).run(backbone.run({"image": pixels}, list(head.manifest.features)))
    return head_class(head.manifest.task)(head).decode(outputs, frame, {})


def served(answer):
    return {each.head: (made.spec, each.points_lost) for made in answer.passes for each in made.heads}


@pytest.mark.parametrize("form", FORMS)
async def test_a_call_that_allows_the_points_takes_one_pass_and_says_so(repository, photos, spec, form):
    async with form(models=repository) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        best = await client.analyze(photos[0], HEADS)
        assert best.backbone_passes == 2
        assert served(best) == {
            "imagenet": ("crop of the central 0.875 224x224", 0.0),
            "pets": ("crop of the central 0.875 224x224", 0.0),
            "camvid": (spec.words, 0.0),
        }
        for points, passes in ((5.0, 2), (6.0, 2), (20.0, 1)):
            found = await client.analyze(photos[0], HEADS, max_points_lost=points)
            assert found.backbone_passes == passes
        assert served(found) == {
            "imagenet": (spec.words, pytest.approx(20.0)),
            "pets": (spec.words, pytest.approx(6.0)),
            "camvid": (spec.words, 0.0),
        }
        assert found.passes[0].backbone == "efficientnet-lite0/1"
        assert found["imagenet"].result == known(repository, "imagenet", photos[0], under=spec)
        assert found["pets"].result == known(repository, "pets", photos[0], under=spec)
        assert found["camvid"].result == best["camvid"].result
        assert best["imagenet"].result == known(repository, "imagenet", photos[0])
        assert best["pets"].result == known(repository, "pets", photos[0])
        assert found["pets"].result.space != best["pets"].result.space
        alone = await client.classify(photos[0], head="imagenet")
        assert alone.result == best["imagenet"].result


async def test_both_forms_answer_bit_for_bit_the_same(repository, photos):
    answers = []
    for form in FORMS:
        async with form(models=repository) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=30)
            asked = [client.analyze(photo, HEADS, max_points_lost=30) for photo in photos[:3]]
            answers.append([[each.result for each in answer.outcomes] for answer in await asyncio.gather(*asked)])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("form", FORMS)
async def test_streams_batches_of_oip_and_http_take_the_points_too(repository, photos, spec, form):
    async with form(models=repository, http_address="127.0.0.1:0") as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        expected = await client.analyze(photos[0], HEADS, max_points_lost=30)
        async for each in client.analyze_stream([photos[0]], HEADS, max_points_lost=30):
            assert served(each.value()) == served(expected)
            assert [one.result for one in each.value().outcomes] == [one.result for one in expected.outcomes]
        status, document = await asyncio.to_thread(
            posted, host.http_address, f"/v1/images:analyze?heads={','.join(HEADS)}&max_points_lost=30", photos[0]
        )
        assert (status, document["backbone_passes"]) == (200, 1)
        assert document["passes"][0]["spec"] == spec.words
        documents = await inferred(host.address, photos[0], {"heads": ",".join(HEADS), "max_points_lost": 30.0})
        assert [each["backbone_passes"] for each in documents] == [1]
        with pytest.raises(grpc.aio.AioRpcError, match="'max_points_lost' is a number of points, such as 2"):
            await inferred(host.address, photos[0], {"heads": "imagenet", "max_points_lost": "many"})


def posted(address, path, photo):
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", path, photo.read_bytes(), {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


async def inferred(address, photo, parameters):
    """The documents of the model `analyze`."""
    request = oip.ModelInferRequest(model_name="analyze")
    for name, value in parameters.items():
        kind = "string_param" if isinstance(value, str) else "double_param"
        setattr(request.parameters[name], kind, value)
    tensor = request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
    tensor.contents.bytes_contents.append(photo.read_bytes())
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await GRPCInferenceServiceStub(channel).ModelInfer(request)
    return [json.loads(each) for each in answer.outputs[0].contents.bytes_contents]


async def test_quick_heads_answer_on_the_thread_of_the_shared_pass_and_kept_features_serve_all(repository, photos):
    async with serve(models=repository, feature_cache_bytes=2**28) as host, AsyncClient(host.address) as client:
        first = await client.analyze(photos[0], HEADS, max_points_lost=30)
        again = await client.analyze(photos[0], HEADS, max_points_lost=30)
        assert (first.backbone_passes, again.backbone_passes) == (1, 0)
        assert [each.result for each in again.outcomes] == [each.result for each in first.outcomes]
        assert (await client.analyze(photos[0], ["camvid"])).backbone_passes == 0  # of the same pass
        for _ in range(30):  # until they are known to be quick
            later = await client.analyze(photos[1], HEADS, max_points_lost=30)
        asks = [HeadAsk("imagenet", {"top_k": 2}, required=True), "pets", "camvid"]
        assert len((await client.analyze(photos[1], asks, max_points_lost=30))["imagenet"].result.labels) == 2
        assert later["imagenet"].result == known(repository, "imagenet", photos[1], under=_spec_of(repository))


def _spec_of(repository):
    return Repository(repository).head("camvid").manifest.preprocess


async def test_points_that_are_none_and_older_callers(repository, photos):
    async with serve(models=repository) as host, AsyncClient(host.address) as client:
        with pytest.raises(
            ServiceError, match="max_points_lost is -1; it is a number of points from 0 to 100"
        ) as caught:
            await client.analyze(photos[0], HEADS, max_points_lost=-1)
        assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        async with grpc.aio.insecure_channel(host.address) as channel:
            request = pb.AnalyzeRequest(heads=[pb.HeadRequest(head=name) for name in HEADS])
            request.image.data = photos[0].read_bytes()
            assert (await VisionServiceStub(channel).Analyze(request)).backbone_passes == 2
        described = {head.name: head.variants for head in await client.list_heads()}
        assert [(each.spec, each.points_lost) for each in described["imagenet"]] == [
            (_spec_of(repository).words, pytest.approx(20.0))
        ]
        assert described["camvid"] == ()


@pytest.mark.parametrize("form", FORMS)
async def test_a_variant_whose_golden_outputs_do_not_hold_is_not_served_and_costs_nothing_else(
    models, samples, photos, tmp_path, form
):
    found = repository_with(models, tmp_path, "imagenet", "camvid")
    spec = Repository(found).head("camvid").manifest.preprocess
    manifest = add_version(found, "imagenet", spec, 20.0, samples / "coffee.jpg")
    folder = found / "heads/imagenet" / str(manifest.version)
    golden = folder / manifest.variants[0].golden_file
    arrays = dict(np.load(golden))
    np.savez_compressed(golden, **{name: value + name.startswith("output.") for name, value in arrays.items()})
    async with form(models=found) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        answer = await client.analyze(photos[0], ["imagenet", "camvid"], max_points_lost=50)
        assert answer.backbone_passes == 2
        assert answer["imagenet"].result == known(found, "imagenet", photos[0])
        assert (await client.get_head("imagenet")).variants == ()


@pytest.mark.parametrize("form", FORMS)
async def test_what_loses_nothing_is_taken_by_itself_but_for_embeddings(models, samples, photos, tmp_path, form):
    found = repository_with(models, tmp_path, *HEADS)
    spec = Repository(found).head("camvid").manifest.preprocess
    for name in ("imagenet", "pets"):
        add_version(found, name, spec, 0.0, samples / "coffee.jpg")
    async with form(models=found) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        plain = await client.analyze(photos[0], HEADS)
        assert plain.backbone_passes == 2
        assert plain["pets"].result == known(found, "pets", photos[0])
        assert (await client.analyze(photos[0], ["imagenet", "camvid"])).backbone_passes == 1
        assert (await client.analyze(photos[0], HEADS, max_points_lost=0)).backbone_passes == 1


async def test_heads_that_ship_share_a_pass_for_two_points(models, photos):
    async with serve(models=models, heads=("pets", "camvid")) as host, AsyncClient(host.address) as client:
        passes = {
            points: (await client.analyze(photos[0], ["pets", "camvid"], max_points_lost=points)).backbone_passes
            for points in (None, 1.0, 2.0)
        }
        assert passes == {None: 2, 1.0: 2, 2.0: 1}
