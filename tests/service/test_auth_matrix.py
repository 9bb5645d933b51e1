"""Who may call what: every role and every method, over gRPC and HTTP, all in one and split."""

import asyncio
import contextlib
import http.client
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2

from tests.service.access import ROLES, access_of_roles, key_of
from trunkline.assembly import roles
from trunkline.assembly.training import training
from trunkline.client import AsyncClient
from trunkline.gateway.rest.inference import ROUTES
from trunkline.gateway.rest.rules import rules
from trunkline.serving.parent import PEER_KEY
from trunkline.serving.security.methods import Need, needs
from trunkline.testing.serve import local_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
CALLERS = (*ROLES, "nobody", "", "wrong")
REFUSED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
WITHIN_S = 30.0


@dataclass(frozen=True)
class Served:
    """Where each service is: that of a gateway, and those behind it where they are apart."""

    gateway: str
    http: str
    backbone: str = ""
    heads: str = ""
    catalog: str = ""
    training: str = ""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("auth")
    return {
        "auth": ("keys",),
        "access_file": str(access_of_roles(folder / "access.json")),
        "heads": ("imagenet",),
        "http_address": "127.0.0.1:0",
        "training_jobs": 1,
        "training_database": f"sqlite:///{folder}/jobs.db",
        "training_work": folder / "training",
        "training_cache": folder / "features",
        "gallery_database": f"sqlite:///{folder}/galleries.db",
        "gallery_index": folder / "index",
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(settings) -> AsyncIterator[Served]:
    async with roles.all_in_one(local_settings(**settings)) as host:
        yield Served(host.address, host.http_address)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def split(settings) -> AsyncIterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PEER_KEY, "0" * 64)
        async with contextlib.AsyncExitStack() as stack:
            alone = local_settings(**{**settings, "http_address": ""})
            backbone = await stack.enter_async_context(roles.backbone(alone))
            heads = await stack.enter_async_context(roles.heads(alone))
            catalog = await stack.enter_async_context(roles.catalog(alone))
            jobs = await stack.enter_async_context(training(alone))
            behind = {
                "backbone_address": backbone.address,
                "head_addresses": (heads.address,),
                "catalog_address": catalog.address,
                "training_address": jobs.address,
            }
            host = await stack.enter_async_context(roles.gateway(local_settings(**settings, **behind)))
            async with AsyncClient(host.address) as client:
                await client.wait_ready(WITHIN_S)
            yield Served(
                host.address, host.http_address, backbone.address, heads.address, catalog.address, jobs.address
            )


@pytest.fixture(params=["one", "split"])
def served(request) -> Served:
    return request.getfixturevalue(request.param)


def expected(need: Need, caller: str) -> grpc.StatusCode | None:
    """The code of a refusal, None where the call is let in."""
    if need.is_open:
        return None
    if caller in ("", "wrong"):
        return grpc.StatusCode.UNAUTHENTICATED
    return None if caller in need.roles else grpc.StatusCode.PERMISSION_DENIED


async def code_of(channel: grpc.aio.Channel, method: str, caller: str) -> grpc.StatusCode:
    """With which code an empty request is answered."""
    metadata = (("authorization", f"Bearer {key_of(caller)}"),) if caller else ()
    call = channel.unary_stream(f"/{method}")(b"", metadata=metadata, timeout=WITHIN_S)  # on the wire all are alike
    try:
        async for _ in call:
            break  # a watch has no end
        else:
            return await call.code()
    except grpc.aio.AioRpcError as error:
        return error.code()
    finally:
        call.cancel()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("caller", CALLERS)
async def test_every_method_over_grpc(served, caller):
    async with grpc.aio.insecure_channel(served.gateway) as channel:
        for method, need in needs().items():
            if method.split("/")[0].endswith(("BackboneService", "HeadService")):
                continue
            found = await code_of(channel, method, caller)
            wanted = expected(need, caller)
            assert found is wanted if wanted else found not in REFUSED, f"{method} {caller}: {found}"
            assert found is not grpc.StatusCode.INTERNAL, method


@pytest.mark.parametrize("caller", CALLERS)
async def test_every_method_of_the_services_behind(split, caller):
    """Who gets past the gateway meets the same rules, and only the gateway itself asks backbone and heads."""
    where = {
        "BackboneService": split.backbone,
        "HeadService": split.heads,
        "CatalogService": split.catalog,
        "TrainingService": split.training,
    }
    for service, address in where.items():
        async with grpc.aio.insecure_channel(address) as channel:
            for method, need in needs().items():
                if not method.split("/")[0].endswith(service):
                    continue
                found = await code_of(channel, method, caller)
                wanted = expected(need, caller)
                assert found is wanted if wanted else found not in REFUSED, f"{method} {caller}: {found}"


def asked_over_http(address: str, verb: str, path: str, caller: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=WITHIN_S)
    headers = {"Content-Type": "application/json"} if verb in ("POST", "PUT") else {}
    if caller:
        headers["Authorization"] = f"Bearer {key_of(caller)}"
    try:
        connection.request(verb, path, "{}" if verb in ("POST", "PUT") else None, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.mark.parametrize("caller", CALLERS)
async def test_every_route_over_http(served, caller):
    routes = [(rule.verb, rule.path, rule.call) for rule in rules()]
    routes += [(route.verb, route.path, f"/inference.GRPCInferenceService/{route.method}") for route in ROUTES]
    codes = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403}
    for verb, path, method in routes:
        filled = re.sub(r"{[^}]+}", "1", path)
        found = await asyncio.to_thread(asked_over_http, served.http, verb, filled, caller)
        wanted = expected(needs()[method.removeprefix("/")], caller)
        assert found == codes[wanted] if wanted else found not in (401, 403, 500), f"{verb} {path} {caller}: {found}"


async def test_health_is_open_whatever_is_sent(served):
    async with grpc.aio.insecure_channel(served.gateway) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        answer = await check(b"", metadata=(("authorization", "Bearer wrong"),))
    assert health_pb2.HealthCheckResponse.FromString(answer).status == health_pb2.HealthCheckResponse.SERVING


async def test_nobody_becomes_a_peer_by_saying_so(served):
    said = (
        (("trunkline-behalf", '{"name": "x", "roles": ["admin"], "scopes": ["*"], "quota": {}}'),),
        (("trunkline-peer", "0" * 63),),
        (
            ("trunkline-peer", ""),
            ("trunkline-behalf", '{"name": "x", "roles": ["peer"], "scopes": ["*"], "quota": {}}'),
        ),
    )
    async with grpc.aio.insecure_channel(served.gateway) as channel:
        call = channel.unary_unary("/trunkline.api.catalog.v1.CatalogService/ListModels")
        for metadata in said:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # a key with a role does not speak for others
            await call(b"", metadata=(("authorization", f"Bearer {key_of('infer')}"), *said[0]))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
