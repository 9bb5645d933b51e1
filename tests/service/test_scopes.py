"""A caller with scopes: what is outside is not there, in whatever call it is named."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from tests.service.access import credentials_of, key_of, write_access
from trunkline.api.oip.v2 import inference_service_pb2 as oip
from trunkline.api.oip.v2.inference_service_pb2_grpc import GRPCInferenceServiceStub
from trunkline.assembly import roles
from trunkline.client import (
    AsyncCatalogClient,
    AsyncClient,
    AsyncGalleryClient,
    GalleryImage,
    HeadAsk,
    ServiceError,
)
from trunkline.serving.host import Host
from trunkline.testing.serve import local_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
HEADS = ("imagenet", "flowers102", "pets")
ALL = ["infer", "gallery-read", "gallery-write", "train", "admin"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(models, tmp_path_factory) -> AsyncIterator[Host]:
    folder = tmp_path_factory.mktemp("scopes")
    file = write_access(
        folder / "access.json",
        {
            "whole": {"roles": ALL},
            "narrow": {"roles": ALL, "scopes": ["imagenet", "gallery:shop-*"]},
            "shopper": {"roles": ["infer"], "scopes": ["imagenet", "gallery:shop-*"]},
        },
    )
    settings = local_settings(
        auth=("keys",),
        access_file=str(file),
        models=copied(models, folder),
        gallery_database=f"sqlite:///{folder}/galleries.db",
        gallery_index=folder / "index",
    )
    async with roles.all_in_one(settings) as host:
        async with AsyncGalleryClient(host.address, credentials=credentials_of("whole")) as galleries:
            for name in ("shop-shoes", "other"):
                await galleries.create(name, "pets")
        yield host


def copied(models: Path, folder: Path) -> Path:
    """A repository whose catalog files may be changed."""
    for kind, names in (("backbones", ("efficientnet-lite0",)), ("heads", HEADS)):
        for name in names:
            shutil.copytree(models / kind / name, folder / "models" / kind / name)
    return folder / "models"


def narrow(host: Host) -> AsyncClient:
    return AsyncClient(host.address, credentials_of("narrow"))


async def code(call) -> str:
    try:
        await call
    except ServiceError as error:
        return error.code
    return "OK"


async def test_lists_show_what_is_visible(host):
    async with narrow(host) as client:
        assert [head.name for head in await client.list_heads()] == ["imagenet"]
    async with AsyncCatalogClient(host.address, credentials=credentials_of("narrow")) as catalog:
        assert [model.name for model in await catalog.models()] == ["imagenet"]
    async with AsyncGalleryClient(host.address, credentials=credentials_of("narrow")) as galleries:
        assert [gallery.name async for gallery in galleries.list()] == ["shop-shoes"]
    async with grpc.aio.insecure_channel(host.address) as channel:
        metadata = (("authorization", f"Bearer {key_of('narrow')}"),)
        index = await GRPCInferenceServiceStub(channel).RepositoryIndex(
            oip.RepositoryIndexRequest(), metadata=metadata
        )
    assert {model.name for model in index.models} == {"imagenet", "analyze"}


async def test_what_is_hidden_looks_like_what_is_not_there(host, photos):
    async with narrow(host) as client:
        texts = []
        for name in ("flowers102", "unknown-1"):
            with pytest.raises(ServiceError) as caught:
                await client.classify(photos[0], name)
            assert caught.value.code == "NOT_FOUND"
            texts.append(caught.value.message.replace(name, "NAME"))
        assert texts[0] == texts[1]
        assert "pets" not in texts[0]
        for name in ("flowers102/1", "flowers102@stable", "gallery:other"):
            assert await code(client.classify(photos[0], name)) == "NOT_FOUND"
        assert (await client.classify(photos[0])).head == "imagenet"  # the default among those that are seen
        assert await code(client.get_head("flowers102")) == "NOT_FOUND"
        assert await code(client.embed(photos[0], "pets")) == "NOT_FOUND"
        assert await code(client.compare(photos[0], photos[1], "pets")) == "NOT_FOUND"


async def test_analyze_and_streams_share_the_check(host, photos):
    asks = [HeadAsk("imagenet"), HeadAsk("flowers102"), HeadAsk("gallery:other")]
    async with narrow(host) as client:
        answer = await client.analyze(photos[0], asks)
        found = [outcome.error.code if outcome.error else "OK" for outcome in answer.outcomes]
        assert found == ["OK", "NOT_FOUND", "NOT_FOUND"]
        async for each in client.analyze_stream(photos[:2], asks):
            found = [outcome.error.code if outcome.error else "OK" for outcome in each.answer.outcomes]
            assert found == ["OK", "NOT_FOUND", "NOT_FOUND"]


async def test_the_open_inference_protocol_shares_it(host, photos):
    async with grpc.aio.insecure_channel(host.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        metadata = (("authorization", f"Bearer {key_of('narrow')}"),)
        for name in ("flowers102", "pets", "efficientnet-lite0"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ModelMetadata(oip.ModelMetadataRequest(name=name), metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            ready = await stub.ModelReady(oip.ModelReadyRequest(name=name), metadata=metadata)
            assert not ready.ready


async def test_galleries_outside_are_not_there_and_cannot_be_made(host, photos):
    async with AsyncGalleryClient(host.address, credentials=credentials_of("narrow")) as galleries:
        assert await code(galleries.get("other")) == "NOT_FOUND"
        assert await code(galleries.delete("other")) == "NOT_FOUND"
        assert await code(galleries.search("other", photos[0])) == "NOT_FOUND"
        assert await code(galleries.create("new", "imagenet")) == "PERMISSION_DENIED"
        assert await code(galleries.create("shop-hats", "pets")) == "NOT_FOUND"  # the head is not in the scopes
        added = [answer async for answer in galleries.add("other", [GalleryImage(photos[0], "x")])]
        assert [answer.error.code for answer in added if answer.error] == ["NOT_FOUND"]


async def test_who_may_use_a_gallery_need_not_see_its_head(host, photos):
    async with AsyncGalleryClient(host.address, credentials=credentials_of("narrow")) as galleries:
        added = [answer async for answer in galleries.add("shop-shoes", [GalleryImage(photos[0], "shoe")])]
        assert [answer.error for answer in added] == [None]
        assert (await galleries.search("shop-shoes", photos[0])).matches
    async with narrow(host) as client:
        assert (await client.classify(photos[0], "gallery:shop-shoes")).result.labels[0].label == "shoe"


async def test_what_a_gallery_holds_needs_a_role_for_galleries(host, photos):
    async with AsyncClient(host.address, credentials_of("shopper")) as client:
        assert await code(client.classify(photos[0], "gallery:shop-shoes")) == "NOT_FOUND"


async def test_the_catalog_changes_and_lists_nothing_outside(host):
    async with AsyncCatalogClient(host.address, credentials=credentials_of("narrow")) as catalog:
        for name in ("flowers102", "unknown-1"):
            with pytest.raises(ServiceError) as caught:
                await catalog.promote(name, 1)
            assert caught.value.code == "NOT_FOUND"
            assert "pets" not in caught.value.message
        assert (await catalog.promote("imagenet", 2)).name == "imagenet"


async def test_denials_and_changes_are_recorded(host, caplog, photos):
    with caplog.at_level("INFO", "trunkline.audit"):
        async with AsyncGalleryClient(host.address, credentials=credentials_of("narrow")) as galleries:
            await code(galleries.delete("other"))
        async with AsyncCatalogClient(host.address, credentials=credentials_of("narrow")) as catalog:
            await catalog.promote("imagenet", 2)
    lines = [json.loads(record.message) for record in caplog.records if record.name == "trunkline.audit"]
    kinds = [(line["audit"], line["identity"], line["method"].rpartition("/")[2], line["object"]) for line in lines]
    assert ("denial", "narrow", "DeleteGallery", "gallery:other") in kinds
    assert ("change", "narrow", "PromoteModelVersion", "imagenet,2") in kinds
    assert all(line["peer"].startswith("ipv4:127.0.0.1") and line["request_id"] for line in lines)
    assert key_of("narrow") not in caplog.text
