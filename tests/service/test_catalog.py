"""CatalogService at the gateway's own port, in both forms, and from the command line."""

import asyncio
import json
import subprocess
import sys
from collections import Counter

import grpc
import pytest

from tests.service.bundles import linked_repository
from tests.service.test_swaps import QUICK, until, until_answers
from tests.service.versions import write_version
from trunkline.api.catalog.v1 import catalog_service_pb2 as pb
from trunkline.api.catalog.v1.catalog_service_pb2_grpc import (
    CatalogServiceServicer,
    CatalogServiceStub,
    add_CatalogServiceServicer_to_server,
)
from trunkline.assembly import roles
from trunkline.catalog.catalog import Catalog
from trunkline.client import AsyncCatalogClient, AsyncClient, CatalogClient, ServiceError
from trunkline.core.catalog import pin_default
from trunkline.core.models import Canary, HeadCatalog
from trunkline.testing import serve, serve_split
from trunkline.testing.serve import local_settings

SAMPLES = {"data": "flowers", "split": "test", "count": 10, "digest": "a" * 64}


@pytest.fixture(params=[serve, serve_split])
def form(request):
    return request.param


@pytest.fixture
def store(models, tmp_path):
    """A repository in which version 1 of `dots` is the default, 2 is worse and 3 is better."""
    made = linked_repository(models, tmp_path)
    for version, accuracy in ((1, 0.9), (2, 0.8), (3, 0.95)):
        write_version(made, "dots", version, metrics={"accuracy": accuracy}, evaluation=SAMPLES)
        pin_default(made, "dots")
    return made


async def test_promote_rollback_and_the_gate_reach_the_answers(form, store, photos):
    async with (
        form(models=store, **QUICK) as host,
        AsyncClient(host.address) as client,
        AsyncCatalogClient(host.address) as catalog,
    ):
        await client.wait_ready(timeout_s=30)
        with pytest.raises(ServiceError) as refused:
            await catalog.promote("dots", 2)
        assert (await catalog.promote("dots", 3)).catalog == HeadCatalog(revision=1, default=3, history=(1,))
        await until_answers(client, "3", photos[0])
        assert (await catalog.promote("dots", 2, margin=0.2)).catalog.default == 2
        await until_answers(client, "2", photos[0])
        assert (await catalog.rollback("dots")).catalog == HeadCatalog(revision=3, default=3, history=(1,))
        await until_answers(client, "3", photos[0])
        await catalog.rollback("dots")
        with pytest.raises(ServiceError) as nothing:
            await catalog.rollback("dots")
    assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "GATE_FAILED")
    assert refused.value.metadata == {"metric": "accuracy", "candidate": "0.8", "incumbent": "0.9", "margin": "0.01"}
    assert (nothing.value.code, nothing.value.reason) == ("NOT_FOUND", "NOT_FOUND")


async def test_several_heads_are_switched_at_once_or_none_is(form, store, photos):
    for version in (1, 2):
        write_version(store, "rings", version, metrics={"accuracy": 0.9}, evaluation=SAMPLES)
        pin_default(store, "rings")
    async with (
        form(models=store, **QUICK) as host,
        AsyncClient(host.address) as client,
        AsyncCatalogClient(host.address) as catalog,
    ):
        await client.wait_ready(timeout_s=30)
        for versions in ([("rings", 2), ("dots", 2)], [("rings", 2), ("dots", 9)], [("rings", 2), ("rings", 2)], []):
            with pytest.raises(ServiceError):
                await catalog.promote_all(versions)
        assert [(await catalog.model(name)).catalog.default for name in ("rings", "dots")] == [1, 1]
        found = await catalog.promote_all([("rings", 2), ("dots", 3)])
        assert [(model.name, model.catalog.default) for model in found] == [("rings", 2), ("dots", 3)]
        await until_answers(client, "3", photos[0])
        with CatalogClient(host.address) as plain:
            again = await asyncio.to_thread(plain.promote_all, [("dots", 1), ("rings", 1)], force=True)
        assert [model.catalog.default for model in again] == [1, 1]


async def test_canary_and_alias_reach_the_answers(form, store, photos):
    async with (
        form(models=store, **QUICK) as host,
        AsyncClient(host.address) as client,
        AsyncCatalogClient(host.address) as catalog,
    ):
        await client.wait_ready(timeout_s=30)
        state = (await catalog.set_canary("dots", 2, 1.0)).catalog
        assert state.canary == Canary(version=2, share=1.0)
        await until_answers(client, "2", photos[0])
        assert (await catalog.set_canary("dots", 0, 0)).catalog.canary is None
        await until_answers(client, "1", photos[0])
        assert (await catalog.set_alias("dots", "next", 3)).catalog.aliases == {"next": 3}
        assert (await catalog.model("dots")).catalog.aliases == {"next": 3}

        async def alias_answers() -> bool:
            return (await client.analyze(photos[0], ["dots@next"])).outcomes[0].version == "3"

        await until(alias_answers)
        assert (await catalog.delete_alias("dots", "next")).catalog.aliases == {}


async def test_lists_and_facts_are_those_of_the_folder(form, store):
    async with form(models=store) as host, AsyncCatalogClient(host.address) as catalog:
        models, versions = await catalog.models(), await catalog.versions("dots")
        version, card = await catalog.version("dots", 2)
        default, _ = await catalog.version("dots")
        with pytest.raises(ServiceError) as unknown:
            await catalog.versions("nothing")
    here = Catalog(store)
    assert models == here.models()
    assert versions == here.versions("dots")
    assert (version, card) == here.version("dots", 2)
    assert card == "# dots 2\n"
    assert default.version == 1
    assert (unknown.value.code, unknown.value.reason) == ("NOT_FOUND", "NOT_FOUND")


async def test_lists_come_in_pages(form, store):
    async with form(models=store) as host, grpc.aio.insecure_channel(host.address) as channel:
        stub = CatalogServiceStub(channel)
        seen, token = [], ""
        for _ in range(3):
            page = await stub.ListModelVersions(
                pb.ListModelVersionsRequest(name="dots", page_size=1, page_token=token)
            )
            seen += [each.version for each in page.versions]
            token = page.next_page_token
        models = await stub.ListModels(pb.ListModelsRequest(page_size=1))
        with pytest.raises(grpc.aio.AioRpcError) as negative:
            await stub.ListModels(pb.ListModelsRequest(page_size=-1))
        with pytest.raises(grpc.aio.AioRpcError) as nameless:
            await stub.RollbackModel(pb.RollbackModelRequest())
    assert (seen, token) == ([1, 2, 3], "")
    assert [each.name for each in models.models] == ["dots"]
    assert models.next_page_token == "dots"
    assert negative.value.code() is nameless.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_gateway_without_a_catalog_serves_and_says_that_it_is_away(photos):
    settings = local_settings()
    async with roles.backbone(settings) as backbone, roles.heads(settings) as heads:
        behind = {
            "backbone_address": backbone.address,
            "head_addresses": (heads.address,),
            "catalog_address": "127.0.0.1:9",
        }
        async with (
            roles.gateway(local_settings(**behind)) as host,
            AsyncClient(host.address) as client,
            AsyncCatalogClient(host.address) as catalog,
        ):
            await client.wait_ready(timeout_s=30)
            assert (await client.classify(photos[0])).result.labels
            with pytest.raises(
                ServiceError, match=r"the catalog service at 127\.0\.0\.1:9 cannot be reached"
            ) as away:
                await catalog.models()
    assert (away.value.code, away.value.reason) == ("UNAVAILABLE", "UNAVAILABLE")


class Away(CatalogServiceServicer):
    """Counts calls and is never able to answer them."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    async def ListModels(self, request, context):  # noqa: N802 - named by the contract
        await self._refuse("ListModels", context)

    async def RollbackModel(self, request, context):  # noqa: N802 - named by the contract
        await self._refuse("RollbackModel", context)

    async def _refuse(self, name, context):
        self.calls[name] += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "away")


async def test_a_rollback_is_never_tried_twice():
    server, away = grpc.aio.server(), Away()
    add_CatalogServiceServicer_to_server(away, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with AsyncCatalogClient(f"127.0.0.1:{port}") as catalog:
            for call in (catalog.models(), catalog.rollback("dots")):
                with pytest.raises(ServiceError):
                    await call
    finally:
        await server.stop(None)
    assert away.calls == {"ListModels": 3, "RollbackModel": 1}


# The command line -------------------------------------------------------------------------------------------


def trunkline(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trunkline.cli.main", "models", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(params=["folder", "service"])
def where(request, store, tmp_path):
    """Options that lead to the same catalog, directly and through a process."""
    if request.param == "folder":
        yield ("--models", str(store))
        return
    from tests.conftest import start_server

    with start_server(tmp_path / "log", "catalog", TRUNKLINE_MODELS=str(store)) as server:
        yield ("--target", server.address)


def test_the_commands_do_the_same_on_the_folder_and_through_the_service(where, store):
    refused = trunkline("promote", "dots", "2", *where)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("trunkline: dots/2 has accuracy 0.8, version 1 (default) has 0.9")
    assert refused.stderr.count("\n") == 1
    forced = trunkline("promote", "dots", "2", "--force", *where)
    assert (forced.returncode, forced.stdout) == (0, "dots/2: default\ndots/1: previous\n")
    assert trunkline("rollback", "dots", *where).stdout == "dots/1: default\n"
    assert trunkline("canary", "dots", "3", "0.1", *where).stdout == "dots/1: default\ndots/3: canary 10.0 %\n"
    assert "dots/2: @next\n" in trunkline("alias", "dots", "next", "2", *where).stdout
    listed = json.loads(trunkline("versions", "dots", "--json", *where).stdout)
    assert (listed["default"], listed["aliases"], listed["canary"]) == (1, {"next": 2}, {"version": 3, "share": 0.1})
    assert [(each["version"], each["metrics"]) for each in listed["versions"]] == [
        (1, {"accuracy": 0.9}),
        (2, {"accuracy": 0.8}),
        (3, {"accuracy": 0.95}),
    ]
    assert "next" not in trunkline("alias", "dots", "next", *where).stdout
    table = trunkline("versions", "dots", *where).stdout
    assert "canary 10.0 %" in table
    assert "aaaaaaaa" in table
    assert Catalog(store).model("dots").catalog.aliases == {}


def test_list_and_show_tell_of_the_default(store):
    rows = json.loads(trunkline("list", "--models", str(store), "--json").stdout)
    dots = next(row for row in rows if row["name"] == "dots")
    assert (dots["versions"], dots["default"]) == (["1", "2", "3"], "1")
    assert json.loads(trunkline("show", "dots", "--models", str(store), "--json").stdout)["version"] == "1"


def test_both_clients_have_the_same_methods():
    def public(cls: type) -> set[str]:
        return {name for name in vars(cls) if not name.startswith("_")}

    assert public(CatalogClient) == public(AsyncCatalogClient)
