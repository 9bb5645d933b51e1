"""Heads of two backbones served at once, in both forms: answers, errors, protocols, moves from one to the other."""

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.service.bundles import linked_repository
from tests.service.scrape import settled
from tests.service.two_backbones import LARGE, TINY, add_backbone, add_head, known_value
from trunkline.api.oip.v2 import inference_service_pb2 as oip
from trunkline.api.oip.v2.inference_service_pb2_grpc import GRPCInferenceServiceStub
from trunkline.assembly import roles
from trunkline.client import AsyncClient, ServiceError
from trunkline.core.catalog import change_catalog, pin_default
from trunkline.core.repository import Repository
from trunkline.testing import serve, serve_split
from trunkline.testing.serve import local_settings

QUICK = {"catalog_poll_s": 0.05, "refresh_s": 0.05}


@pytest.fixture(params=[serve, serve_split], ids=["all-in-one", "split"])
def form(request):
    return request.param


def digest_of(store: Path, name: str) -> str:
    return Repository(store).backbone(name).manifest.digest


async def serving(address: str, name: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=name))
        answer = await watch.read()
        watch.cancel()
    return answer.status == health_pb2.HealthCheckResponse.SERVING


async def until(found) -> None:
    async with asyncio.timeout(30):
        while not await found():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def values(client: AsyncClient, photo: Path, *heads: str) -> list[float]:
    done = await client.analyze(photo, list(heads))
    assert not [outcome.error for outcome in done.outcomes if outcome.error]
    return [outcome.result.values[0].value for outcome in done.outcomes]


async def test_one_call_asks_heads_of_both_and_each_gets_the_features_of_its_own(form, store, photos):
    async with form(models=store) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        done = await client.analyze(photos[0], ["on-tiny", "imagenet", "on-large"])
        found = [await values(client, photo, "on-tiny", "on-large") for photo in photos[:3]]
    assert done.backbone_passes == 2
    assert [outcome.error for outcome in done.outcomes] == [None, None, None]
    expected = [[known_value(store, name, photo) for name in ("on-tiny", "on-large")] for photo in photos[:3]]
    assert found == [pytest.approx(each, rel=1e-5) for each in expected]


async def test_both_forms_give_the_same_bits(store, photos):
    async with (
        serve(models=store) as one,
        serve_split(models=store) as other,
        AsyncClient(one.address) as here,
        AsyncClient(other.address) as there,
    ):
        await there.wait_ready(timeout_s=30)
        for photo in photos[:3]:
            asked = photo, "on-tiny", "on-large"
            assert await values(here, *asked) == await values(there, *asked)


async def test_kept_features_are_those_of_their_backbone(form, store, photos):
    async with form(models=store, feature_cache_bytes=2**20) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        first = [await values(client, photos[0], name) for name in ("on-tiny", "on-large")]
        again = [await values(client, photos[0], name) for name in ("on-tiny", "on-large")]
        done = await client.analyze(photos[0], ["on-tiny", "on-large"])
    assert first == again
    assert first[0] != first[1]
    assert done.backbone_passes == 0


@pytest.mark.parametrize("setting", [{"backbones": (TINY,)}, {"backbone": TINY}, {"backbones": (f"{TINY}/1",)}])
async def test_a_head_of_a_backbone_that_nobody_serves_names_it(form, store, photos, setting):
    async with form(models=store, **setting) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        with pytest.raises(ServiceError) as caught:
            await client.classify(photos[0], head="imagenet")
        done = await client.analyze(photos[0], ["imagenet", "on-tiny"])
        health = [await serving(host.address, f"backbone/{name}") for name in (TINY, LARGE)]
        assert not await serving(host.address, "head/imagenet")
    error = caught.value
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "BACKBONE_MISMATCH")
    for named in ("'imagenet'", f"{LARGE}/1", digest_of(store, LARGE), f"{TINY}/1", digest_of(store, TINY)):
        assert named in error.message
    assert [outcome.error is None for outcome in done.outcomes] == [False, True]
    assert health == [True, False]


async def test_two_backbone_services_with_one_each(store, photos):
    settings = local_settings(models=store)
    async with (
        roles.backbone(settings.model_copy(update={"backbones": (TINY,)})) as tiny,
        roles.backbone(settings.model_copy(update={"backbone": LARGE})) as large,
        roles.heads(settings) as heads,
        roles.gateway(
            local_settings(
                backbone_addresses=(large.address, tiny.address),
                head_addresses=(heads.address,),
                refresh_s=0.1,
            )
        ) as host,
        AsyncClient(host.address) as client,
    ):
        await client.wait_ready(timeout_s=30)
        found = await values(client, photos[0], "on-tiny", "on-large")
        await tiny.drain()
        await until(lambda: _is_down(host.address, f"backbone/{TINY}"))
        done = await client.analyze(photos[0], ["on-tiny", "on-large"])
    assert found == pytest.approx([known_value(store, name, photos[0]) for name in ("on-tiny", "on-large")], rel=1e-5)
    assert done.outcomes[0].error.code == "UNAVAILABLE"
    assert done.outcomes[1].error is None


async def _is_down(address: str, name: str) -> bool:
    return not await serving(address, name)


async def test_the_inference_protocol_has_a_model_of_each_backbone(form, store, photos):
    async with form(models=store) as host, grpc.aio.insecure_channel(host.address) as channel:
        async with AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=30)
            for name in (TINY, LARGE):
                assert await serving(host.address, f"backbone/{name}")
        stub = GRPCInferenceServiceStub(channel)
        index = await stub.RepositoryIndex(oip.RepositoryIndexRequest())
        sizes = {}
        for name in (TINY, LARGE):
            tensor = oip.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1, 1])
            tensor.contents.bytes_contents.append(photos[0].read_bytes())
            asked = oip.ModelInferRequest(model_name=name, inputs=[tensor])
            sizes[name] = list((await stub.ModelInfer(asked)).outputs[0].shape)
        head = await stub.ModelMetadata(oip.ModelMetadataRequest(name="on-tiny"))
    assert {TINY, LARGE} <= {model.name for model in index.models}
    assert sizes == {TINY: [1, 96], LARGE: [1, 1280]}
    assert [list(each.shape) for each in head.inputs if each.name == "pooled"] == [[-1, 96]]


async def test_metrics_tell_the_backbones_apart(form, store, photos):
    async with form(models=store, metrics_address="127.0.0.1:0") as host:
        async with AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=30)
            await client.analyze(photos[0], ["on-tiny", "on-large"])
            await client.analyze(photos[1], ["on-tiny"])
        found = await settled(host.telemetry.address)
    counts = {name: found.value("trunkline_backbone_seconds_count", backbone=name) for name in (TINY, LARGE)}
    assert counts == {TINY: 2, LARGE: 1}
    assert found.value("trunkline_pass_seconds_count", backbone=TINY, status="OK") == 2
    assert found.labels("trunkline_backbone_info", "backbone") == {TINY, LARGE}


async def test_a_head_moves_to_another_backbone_and_loses_no_call(form, models, tiny, photos, tmp_path):
    store = linked_repository(models, tmp_path)
    add_head(store, "moving", LARGE)
    pin_default(store, "moving")
    settings = {**QUICK, "models": store, "heads": ("moving",), "request_timeout_s": 1.0}
    async with form(**settings) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        add_backbone(store, tiny)
        add_head(store, "moving", TINY, version=2)
        expected = {str(v): known_value(store, "moving", photos[0], v) for v in (1, 2)}
        seen: list[str] = []
        ended = asyncio.Event()

        async def call() -> None:
            while not ended.is_set():
                done = await client.analyze(photos[0], ["moving"])
                outcome = done.outcomes[0]
                assert outcome.error is None
                assert outcome.result.values[0].value == pytest.approx(expected[outcome.version], rel=1e-5)
                seen.append(outcome.version)

        async def answers(version: str) -> bool:
            return seen[-1:] == [version]

        calls = [asyncio.create_task(call()) for _ in range(3)]
        await until(lambda: answers("1"))
        change_catalog(store, "moving", lambda catalog: catalog.promoted(2))
        await until(lambda: answers("2"))
        # The version before stays at hand for a way back, and its backbone with it, until it is no longer in use.
        assert await serving(host.address, f"backbone/{LARGE}")
        change_catalog(store, "moving", lambda catalog: catalog.model_copy(update={"history": ()}))
        await until(lambda: _is_down(host.address, f"backbone/{LARGE}"))
        ended.set()
        await asyncio.gather(*calls)
    assert sorted(set(seen)) == ["1", "2"]


async def test_a_head_whose_backbone_comes_after_it_is_served_then(form, models, tiny, photos, tmp_path):
    store = linked_repository(models, tmp_path)
    add_backbone(store, tiny)
    add_head(store, "early", TINY)
    (store / "backbones" / TINY).rename(tmp_path / "aside")
    async with form(**QUICK, models=store) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        done = await client.analyze(photos[0], ["early", "imagenet"])
        assert done.outcomes[0].error.reason == "BACKBONE_MISMATCH"
        assert done.outcomes[1].error is None
        (tmp_path / "aside").rename(store / "backbones" / TINY)
        await until(lambda: serving(host.address, "head/early"))
        found = await values(client, photos[0], "early")
    assert found == pytest.approx([known_value(store, "early", photos[0])], rel=1e-5)


async def test_a_damaged_backbone_costs_its_heads_alone(form, store, photos):
    model = store / "backbones" / TINY / "1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-100])
    async with form(models=store) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        done = await client.analyze(photos[0], ["on-tiny", "on-large"])
    assert done.outcomes[0].error.code == "FAILED_PRECONDITION"
    assert done.outcomes[1].error is None
