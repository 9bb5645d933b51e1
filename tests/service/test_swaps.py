"""Head services follow the catalog and the model folder while they run, in both forms."""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.service.bundles import linked_repository
from tests.service.versions import known_answer, write_version
from trunkline.client import AsyncClient, ServiceError
from trunkline.core.catalog import change_catalog, pin_default
from trunkline.core.errors import NotFoundError
from trunkline.core.exchange import HeadQuestion
from trunkline.core.models import Canary, HeadCatalog
from trunkline.core.preprocess import Frame
from trunkline.core.repository import Repository
from trunkline.heads.engine import HeadEngine
from trunkline.heads.loading import LoadedHead
from trunkline.heads.versions import Choice, LoadedVersions
from trunkline.serving.workers import WorkerPool
from trunkline.testing import serve, serve_split

QUICK = {"catalog_poll_s": 0.05, "refresh_s": 0.05}


@pytest.fixture(params=[serve, serve_split])
def form(request):
    return request.param


@pytest.fixture
def store(models, tmp_path):
    """A repository in which the head `dots` has version 1."""
    made = linked_repository(models, tmp_path)
    write_version(made, "dots", 1)
    return made


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20) -> None:
    ends_at = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < ends_at, "not within time"
        await asyncio.sleep(0.02)


async def until_answers(client: AsyncClient, version: str, photo, head: str = "dots") -> None:
    async def answers() -> bool:
        return (await client.classify(photo, head)).version == version

    await until(answers)


def promote(store, version: int) -> None:
    change_catalog(store, "dots", lambda state: state.promoted(version))


def scores(answer) -> dict[str, float]:
    return {label.label: label.score for label in answer.result.labels}


async def health(address: str, name: str) -> str:
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            found = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return health_pb2.HealthCheckResponse.ServingStatus.Name(found.status)


async def test_a_promoted_version_answers_with_its_own_features_and_spec(form, store, photos):
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        first = await client.classify(photos[0], "dots")
        pin_default(store, "dots")
        write_version(store, "dots", 2)
        promote(store, 2)
        await until_answers(client, "2", photos[0])
        second = await client.classify(photos[0], "dots")
        pinned = await client.classify(photos[0], "dots/1")
    for answer, version in ((first, 1), (second, 2), (pinned, 1)):
        assert answer.version == str(version)
        assert scores(answer) == pytest.approx(known_answer(store, "dots", version, photos[0]), abs=1e-5)


async def test_a_version_never_becomes_the_default_by_being_there(form, store, photos):
    pin_default(store, "dots")
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        write_version(store, "dots", 2)
        write_version(store, "other", 1)

        async def other_is_served() -> bool:
            return any(head.name == "other" for head in await client.list_heads())

        await until(other_is_served)  # a later look than the first that could see version 2
        assert (await client.classify(photos[0], "dots")).version == "1"
        with pytest.raises(ServiceError, match=r"head 'dots' serves no version '2'; served: 1") as caught:
            await client.classify(photos[0], "dots/2")
    assert caught.value.code == "NOT_FOUND"


async def test_without_a_catalog_the_highest_version_answers(form, store, photos):
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        write_version(store, "dots", 2)
        await until_answers(client, "2", photos[0])


async def test_aliases_and_canary_are_followed(form, store, photos):
    write_version(store, "dots", 2)
    write_version(store, "dots", 3)
    state = HeadCatalog(default=1, aliases={"stable": 2}, canary=Canary(version=3, share=0.5))
    change_catalog(store, "dots", lambda _: state)
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        found = await client.get_head("dots")
        named = await client.analyze(photos[0], ["dots@stable", "dots/1", "dots/3"])
        drawn = [(await client.classify(photos[0], "dots")).version for _ in range(60)]
        with pytest.raises(ServiceError, match=r"head 'dots' has no alias 'fresh'; aliases: stable"):
            await client.classify(photos[0], "dots@fresh")
        by_alias = await client.get_head("dots@stable")
    assert (found.version, found.other_versions, found.aliases) == ("1", ("3", "2"), {"stable": "2"})
    assert (found.canary_version, found.canary_share, found.warning) == ("3", 0.5, "")
    assert by_alias.version == "2"
    assert [(outcome.head, outcome.version) for outcome in named.outcomes] == [
        ("dots@stable", "2"),
        ("dots/1", "1"),
        ("dots/3", "3"),
    ]
    assert set(drawn) == {"1", "3"}  # missing one has a chance of 1 in 2^59


async def test_a_canary_of_another_backbone_costs_no_call(form, store, photos):
    write_version(store, "dots", 2, backbone={"name": "other", "version": 1, "digest": "0" * 64})
    state = HeadCatalog(default=1, canary=Canary(version=2, share=1.0))
    change_catalog(store, "dots", lambda _: state)
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        assert (await client.classify(photos[0], "dots")).version == "1"


async def test_a_version_that_cannot_be_loaded_replaces_no_good_one_and_its_fault_is_shown(form, store, photos):
    pin_default(store, "dots")
    folder = write_version(store, "dots", 2)
    good = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(good[:-1])
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        promote(store, 2)

        async def warned() -> bool:
            head = await client.get_head("dots")
            return head.ready and head.version == "1" and "digest" in head.warning

        await until(warned)
        assert (await client.classify(photos[0], "dots")).version == "1"
        (folder / "model.onnx").write_bytes(good)
        await until_answers(client, "2", photos[0])
        assert (await client.get_head("dots")).warning == ""


async def test_a_damaged_catalog_keeps_the_last_good_state(form, store, photos):
    write_version(store, "dots", 2)
    change_catalog(store, "dots", lambda state: state.model_copy(update={"default": 1}))
    file = store / "heads/dots/catalog.json"
    good = file.read_text()
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        file.write_text(good[: len(good) // 2])

        async def warned() -> bool:
            return "catalog.json" in (await client.get_head("dots")).warning

        await until(warned)
        assert (await client.classify(photos[0], "dots")).version == "1"
        file.write_text(json.dumps(json.loads(good) | {"default": 2}))
        await until_answers(client, "2", photos[0])


async def test_a_catalog_damaged_from_the_start_costs_its_head_alone(form, store, photos):
    (store / "heads/dots/catalog.json").write_text("{")
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        done = await client.analyze(photos[0], ["dots", "imagenet"])
        assert done["dots"].error.reason == "MODEL_INVALID"
        assert "catalog.json" in done["dots"].error.message
        assert done["imagenet"].result.labels
        (store / "heads/dots/catalog.json").unlink()
        await until_mended(client, photos[0])


async def until_mended(client, photo) -> None:
    async def mended() -> bool:
        return (await client.analyze(photo, ["dots"]))["dots"].error is None

    await until(mended)


async def test_heads_come_and_go_with_their_folders_and_health_follows(form, store, photos):
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        write_version(store, "fresh", 1)

        async def state_is(name: str, wanted: str) -> bool:
            return await health(host.address, name) == wanted

        await until(lambda: state_is("head/fresh", "SERVING"))
        assert (await client.classify(photos[0], "fresh")).version == "1"
        os.rename(store / "heads/dots", store / ".dots")  # noqa: PTH104 - gone at once, as by a tidy operator
        await until(lambda: state_is("head/dots", "NOT_SERVING"))
        with pytest.raises(ServiceError, match="there is no head 'dots'"):
            await client.classify(photos[0], "dots")
        shutil.rmtree(store / ".dots")
        assert (await client.classify(photos[0], "fresh")).version == "1"


# The engine by itself ---------------------------------------------------------------------------------------


@pytest.fixture
def workers():
    pool = WorkerPool(1, 8)
    yield pool
    pool.close()


def question(store, version: str) -> HeadQuestion:
    manifest = Repository(store).head("dots", int(version)).manifest
    return HeadQuestion(
        head="dots",
        features={"image": np.full((1, 64, 64, 3), 9, np.uint8)},
        frame=Frame(64, 64, 1.0, 0.0, 1.0, 0.0, 64, 64),
        backbone_digest=manifest.backbone.digest,
        version=version,
    )


async def test_a_version_that_another_replica_has_already_seen_is_loaded_when_it_is_asked_for(store, workers):
    pin_default(store, "dots")
    engine = HeadEngine.load(Repository(store), workers, Choice(), grace_s=60)
    write_version(store, "dots", 2)
    answers = await asyncio.gather(*(engine.predict(question(store, "2"), 10) for _ in range(5)))
    assert {answer.version for answer in answers} == {"2"}
    assert [head.version for head in await engine.describe() if head.name == "dots"] == ["1"]
    with pytest.raises(NotFoundError, match=r"there is no head 'dots/9' in this process"):
        await engine.predict(replace(question(store, "2"), version="9"), 10)


def test_a_version_stays_for_the_grace_and_then_goes(store):
    versions = LoadedVersions(Repository(store), Choice(("dots",)), grace_s=0.5)
    versions.refresh()
    for version in (2, 3):  # after two promotions, 1 is not even the previous default
        write_version(store, "dots", version)
        change_catalog(store, "dots", lambda state, number=version: state.promoted(number))
    assert versions.heads["dots"].version == "1"
    versions.refresh()
    assert versions.heads["dots"].version == "3"
    assert isinstance(versions.find("dots", 1), LoadedHead)
    ends_at = time.monotonic() + 10
    while versions.find("dots", 1) is not None:
        assert time.monotonic() < ends_at
        time.sleep(0.05)
        versions.refresh()
    assert isinstance(versions.find("dots", 3), LoadedHead)


def test_a_model_folder_that_is_away_for_a_moment_costs_nothing(store):
    versions = LoadedVersions(Repository(store), Choice(("dots",)), grace_s=0)
    versions.refresh()
    (store / "heads").rename(store / "away")
    with pytest.raises(OSError, match="is gone"):
        versions.refresh()
    assert isinstance(versions.find("dots", 1), LoadedHead)


def test_files_replaced_under_a_version_are_loaded_if_they_are_good(store):
    versions = LoadedVersions(Repository(store), Choice(("dots",)), grace_s=0)
    versions.refresh()
    before = versions.find("dots", 1)
    (store / "heads/dots/1/labels.txt").unlink()
    versions.refresh()
    assert versions.find("dots", 1) is before
    (store / "heads/dots/1/labels.txt").write_text("x\ny\nz\n")
    versions.refresh()
    assert versions.heads["dots"].labels == ("x", "y", "z")


def test_a_default_that_is_gone_goes_on_from_memory_with_a_warning(store):
    pin_default(store, "dots")
    write_version(store, "dots", 2)
    versions = LoadedVersions(Repository(store), Choice(("dots",)), grace_s=0)
    versions.refresh()
    shutil.rmtree(store / "heads/dots/1")
    versions.refresh()
    assert versions.heads["dots"].version == "1"
    assert "not in the model folder" in versions.heads["dots"].routes.warning
    assert isinstance(versions.find("dots", 1), LoadedHead)


def test_a_version_of_another_task_is_not_served_by_a_service_of_one_task(store):
    versions = LoadedVersions(Repository(store), Choice(("dots",), task="segmentation"), grace_s=0)
    versions.refresh()
    assert versions.heads == {}


def test_a_task_with_a_bug_costs_its_version_alone(store, monkeypatch):
    def bug(self, bundle):
        raise RuntimeError("secret")

    monkeypatch.setattr("trunkline.heads.classification.head.Head.__init__", bug)
    versions = LoadedVersions(Repository(store), Choice(("dots",)), grace_s=0)
    versions.refresh()
    assert versions.heads["dots"].fault == "dots/1 cannot be loaded: see the log of the head service"
