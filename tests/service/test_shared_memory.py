"""Large features in the split form: through shared memory where both sides have it, inline where not, never wrong."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.service.bundles import add_map_head, linked_repository
from trunkline.assembly import roles
from trunkline.client import AsyncClient, HeadAsk, ServiceError
from trunkline.testing import serve, serve_split
from trunkline.testing.serve import local_settings

HEADS = ["maps", "c4", "imagenet"]
MAPS_BYTES = 3_000_000  # c2 to c5 of 512x512


@pytest.fixture(scope="module")
def store(models, tmp_path_factory) -> Path:
    repository = linked_repository(models, tmp_path_factory.mktemp("shared"))
    add_map_head(repository, "maps", ["c2", "c3", "c4", "c5"], 512)
    add_map_head(repository, "c4", ["c4"], 512)
    return repository


def taken_bytes(folder: Path) -> int:
    """Memory that the arenas in a folder take."""
    return sum(512 * path.stat().st_blocks for path in folder.glob("*.arena"))


async def results(client: AsyncClient, photos: list[Path], heads: list[str] = HEADS) -> list:
    answers = await asyncio.gather(*(client.analyze(photo.read_bytes(), heads) for photo in photos))
    assert [outcome.error for answer in answers for outcome in answer.outcomes if outcome.error] == []
    return [outcome.result for answer in answers for outcome in answer.outcomes]


@pytest.fixture(scope="module")
def expected(store, photos) -> list:
    """What all in one answers, photo by photo, head by head."""

    async def ask() -> list:
        async with serve(models=store) as host, AsyncClient(host.address) as client:
            return await results(client, photos)

    return asyncio.run(ask())


@pytest.mark.parametrize("limit_mib", [256, 4, 1, 0])
async def test_answers_are_equal_bit_for_bit_with_room_for_all_for_some_for_none_and_without(
    store, photos, expected, tmp_path, limit_mib
):
    async with (
        serve_split(models=store, shared_memory=str(tmp_path / "shm"), shared_memory_mib=limit_mib) as host,
        AsyncClient(host.address) as client,
    ):
        await client.wait_ready()
        assert await results(client, photos) == expected
        taken = taken_bytes(tmp_path / "shm")
        assert taken <= limit_mib * 2**20 + 2**16
        assert (taken > MAPS_BYTES) == (limit_mib >= 4)
    assert list(tmp_path.glob("shm/*")) == []


async def test_blocks_are_used_again_by_the_next_calls(store, photos, tmp_path):
    async with (
        serve_split(models=store, shared_memory=str(tmp_path)) as host,
        AsyncClient(host.address) as client,
    ):
        await client.wait_ready()
        for _ in range(3 * len(photos)):
            await results(client, photos[:1])
        assert MAPS_BYTES < taken_bytes(tmp_path) < 3 * MAPS_BYTES


async def test_blocks_of_failed_calls_are_used_again_too(store, photos, tmp_path):
    async with (
        serve_split(models=store, shared_memory=str(tmp_path)) as host,
        AsyncClient(host.address) as client,
    ):
        await client.wait_ready()
        for _ in range(10):
            with pytest.raises(ServiceError):
                await client.analyze(photos[0], [HeadAsk("maps", {"nonsense": 1}, required=True)])
        assert MAPS_BYTES < taken_bytes(tmp_path) < 4 * MAPS_BYTES


@contextlib.asynccontextmanager
async def form_of(store: Path, backbone_folder: Path, *head_folders: Path):
    """A gateway, a backbone and a head service for each folder: the first has the head c4, a second one maps."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(role, folder: Path, **overrides):
            settings = local_settings(models=store, shared_memory=str(folder), **overrides)
            return await stack.enter_async_context(role(settings))

        backbone = await start(roles.backbone, backbone_folder)
        heads = [
            await start(roles.heads, folder, heads=(name,))
            for folder, name in zip(head_folders, ["c4", "maps"], strict=False)
        ]
        gateway = await stack.enter_async_context(
            roles.gateway(
                local_settings(
                    backbone_address=backbone.address, head_addresses=tuple(head.address for head in heads)
                )
            )
        )
        client = await stack.enter_async_context(AsyncClient(gateway.address))
        await client.wait_ready()
        yield client


async def test_a_head_service_of_another_machine_gets_the_numbers_themselves(store, photos, expected, tmp_path):
    async with form_of(store, tmp_path / "here", tmp_path / "there") as client:
        assert await results(client, photos, ["c4"]) == expected[1 :: len(HEADS)]
        assert taken_bytes(tmp_path / "here") < 100_000


async def test_a_pass_is_shared_only_if_each_of_its_heads_can_read_it(store, photos, expected, tmp_path):
    async with form_of(store, tmp_path / "here", tmp_path / "here", tmp_path / "there") as client:
        both = await results(client, photos, ["maps", "c4"])
        assert both == [result for index, result in enumerate(expected) if index % len(HEADS) < 2]
        assert taken_bytes(tmp_path / "here") < 100_000
        assert await results(client, photos, ["c4"]) == expected[1 :: len(HEADS)]
        assert taken_bytes(tmp_path / "here") > 400_000


async def test_a_head_service_that_moved_away_costs_one_error_that_says_to_ask_again(
    store, photos, expected, tmp_path
):
    here, there = tmp_path / "here", tmp_path / "there"
    address = f"127.0.0.1:{free_port()}"
    settings = [
        local_settings(models=store, address=address, heads=("c4",), shared_memory=str(folder), drain_s=0)
        for folder in (here, there)
    ]
    async with roles.backbone(local_settings(models=store, shared_memory=str(here))) as backbone:
        behind = {"backbone_address": backbone.address, "head_addresses": (address,), "refresh_s": 3600.0}
        async with contextlib.AsyncExitStack() as stack:
            async with roles.heads(settings[0]):
                gateway = await stack.enter_async_context(roles.gateway(local_settings(**behind)))
                client = await stack.enter_async_context(AsyncClient(gateway.address))
                await client.wait_ready()
                assert await results(client, photos, ["c4"]) == expected[1 :: len(HEADS)]
            async with roles.heads(settings[1]):
                (outcome,) = (await client.analyze(photos[0], ["c4"])).outcomes
                assert outcome.error is not None
                assert (outcome.error.code, outcome.error.reason) == ("UNAVAILABLE", "FEATURES_GONE")
                assert str(here) not in outcome.error.message
                assert await results(client, photos, ["c4"]) == expected[1 :: len(HEADS)]
