"""A proxy in the environment, as clusters set it for every container, never comes between parts of one machine."""

import asyncio

import pytest

from tests.service.raw_http import send
from trunkline.client import AsyncClient
from trunkline.testing import serve, serve_split

pytestmark = pytest.mark.asyncio
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, NOBODY)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_parts_of_the_split_form_reach_each_other(photos, host):
    async with (
        serve_split(heads=("imagenet",)) as gateway,
        AsyncClient(gateway.address.replace("127.0.0.1", host)) as client,
    ):
        await client.wait_ready()
        assert (await client.classify(photos[0])).result.labels


async def test_the_http_port_reaches_the_grpc_port_of_its_process():
    async with serve(heads=("imagenet",), address="0.0.0.0:0", http_address="127.0.0.1:0", insecure=True) as host:
        request = b"GET /v1/heads HTTP/1.1\r\nHost: x\r\n\r\n"
        status, answer = await asyncio.to_thread(send, host.http_address, request)
        assert status == 200
        assert [head["name"] for head in answer["heads"]] == ["imagenet"]
