"""Work that is shared between calls: kept features, one pass for the same picture, batches. In both forms."""

import asyncio
import io

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.service.bundles import add_regression_head, linked_repository
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.assembly import roles
from trunkline.assembly.backbones import Backbones, open_backbones
from trunkline.backbone.engine import BackboneEngine
from trunkline.client import AsyncClient, ServiceError
from trunkline.core.exchange import FeatureRequest
from trunkline.core.images import ImageLimits
from trunkline.core.repository import Repository
from trunkline.serving.settings import Batching
from trunkline.serving.workers import WorkerPool
from trunkline.testing import serve, serve_split

MIB = 1024 * 1024
BRIGHTNESS = np.full((1280, 1), 0.001, np.float32)


@pytest.fixture(params=[serve, serve_split], ids=["all-in-one", "split"])
def form(request):
    return request.param


@pytest.fixture
def opened(monkeypatch) -> list[Backbones]:
    """The backbones of the servers of this test."""
    opened: list[Backbones] = []

    def kept(*arguments):
        opened.append(open_backbones(*arguments))
        return opened[-1]

    monkeypatch.setattr(roles, "open_backbones", kept)
    return opened


async def passes_of(address: str, photo, *heads: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        request = pb.AnalyzeRequest(
            image=image_pb2.Image(data=photo.read_bytes()),
            heads=[pb.HeadRequest(head=head, required=True) for head in heads],
        )
        done = await VisionServiceStub(channel).Analyze(request)
    assert (done.timings.decode_ms == 0) is (done.backbone_passes == 0)
    return done.backbone_passes


async def test_a_new_head_over_pictures_seen_before_needs_no_pass(form, models, photos, tmp_path):
    store = linked_repository(models, tmp_path)
    async with (
        form(models=store, feature_cache_bytes=MIB, catalog_poll_s=0.05, refresh_s=0.05) as host,
        AsyncClient(host.address) as client,
    ):
        await client.wait_ready(timeout_s=30)
        assert [await passes_of(host.address, photo, "imagenet") for photo in photos[:2]] == [1, 1]
        add_regression_head(
            store,
            "brightness",
            [{"name": "brightness", "unit": "", "kind": "number", "low": -10.0, "high": 10.0}],
            BRIGHTNESS,
            [0.0],
        )
        async with asyncio.timeout(30):
            while "brightness" not in {head.name for head in await client.list_heads()}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [await passes_of(host.address, photo, "brightness") for photo in photos[:2]] == [0, 0]
        assert await passes_of(host.address, photos[2], "brightness", "imagenet") == 1


async def test_kept_features_give_the_same_answers_bit_for_bit(form, photos):
    async with (
        form(feature_cache_bytes=MIB, heads=("imagenet",)) as host,
        form(heads=("imagenet",)) as other,
        AsyncClient(host.address) as kept,
        AsyncClient(other.address) as computed,
    ):
        for client in (kept, computed):
            await client.wait_ready(timeout_s=30)
        for photo in photos[:3]:
            first, second, third = [await client.classify(photo) for client in (kept, kept, computed)]
            assert first.result == second.result == third.result
            assert second.timings.backbone_ms == 0 < third.timings.backbone_ms


async def test_the_same_picture_asked_at_once_is_one_pass(form, photos, opened):
    async with form(feature_cache_bytes=MIB, heads=("imagenet",)) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        answers = await asyncio.gather(*(client.classify(photos[0]) for _ in range(12)))
        stats = opened[0].cache
    assert len({answer.result for answer in answers}) == 1
    assert stats.misses == 1
    assert stats.hits + stats.joined == 11


async def test_a_bad_picture_asked_at_once_is_refused_to_each(form, opened):
    async with form(feature_cache_bytes=MIB, heads=("imagenet",)) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        found = await asyncio.gather(*(client.classify(b"\xff\xd8\xff no") for _ in range(4)), return_exceptions=True)
    assert all(isinstance(error, ServiceError) and error.reason == "INVALID_IMAGE" for error in found)
    assert opened[0].cache.entries == 0


async def test_batched_answers_are_those_of_single_passes_and_a_bad_picture_costs_none(form, photos, opened):
    batched = {"batching": "on", "max_batch": 4, "batch_wait_ms": 50, "heads": ("imagenet",)}
    async with (
        form(**batched) as host,
        form(heads=("imagenet",)) as other,
        AsyncClient(host.address) as client,
        AsyncClient(other.address) as alone,
    ):
        for each in (client, alone):
            await each.wait_ready(timeout_s=30)
        asked = [*photos[:3], b"\xff\xd8\xff no picture", *photos[3:6]]
        found = await asyncio.gather(*(client.classify(each) for each in asked), return_exceptions=True)
        expected = [await alone.classify(each) for each in photos[:6]]
    assert isinstance(found[3], ServiceError)
    assert found[3].reason == "INVALID_IMAGE"
    for got, want in zip([*found[:3], *found[4:]], expected, strict=True):
        assert [label.label for label in got.result.labels] == [label.label for label in want.result.labels]
        assert got.result.labels[0].score == pytest.approx(want.result.labels[0].score, abs=1e-4)
    sizes = opened[0].batches.sizes
    assert sum(size * count for size, count in sizes.items()) == len(photos[:6])
    assert max(sizes) > 1
    assert not opened[1].batches.sizes  # auto, on a CPU


async def test_a_batch_equals_passes_one_by_one(models):
    bundle, rng = Repository(models).backbone("efficientnet-lite0"), np.random.default_rng(3)
    pool = WorkerPool(2, 64)
    try:
        limits = ImageLimits(MIB, MIB)
        alone = BackboneEngine.load(bundle, pool, limits)
        batched = BackboneEngine.load(bundle, pool, limits, batching=Batching("on", 4, 1.0, 64))
        requests = [
            FeatureRequest(png(rng.integers(0, 256, (224, 224, 3), np.uint8)), bundle.manifest.preprocess, features)
            for features in [("image", "c3", "c5", "pooled")] * 4
        ]
        found = await asyncio.gather(*(batched.extract(request, 60) for request in requests))
        for request, together in zip(requests, found, strict=True):
            single = await alone.extract(request, 60)
            assert set(together.arrays) == set(single.arrays)
            for name, array in single.arrays.items():
                scale = max(1.0, float(np.abs(array.astype(np.float64)).max()))
                np.testing.assert_allclose(together.arrays[name] / scale, array / scale, atol=1e-4)
    finally:
        pool.close()
    assert batched.batcher.stats.sizes == {4: 1}
    assert batched.batcher.stats.closed == {"full": 1}


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
