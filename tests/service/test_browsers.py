"""Pages in a browser: no other site reaches a service on loopback, whatever its name leads to."""

import asyncio
import http.client
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from trunkline.serving.host import Host
from trunkline.testing import serve

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGE = "https://app.example.com"
JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with serve(heads=("imagenet",), http_address="127.0.0.1:0", http_origins=(PAGE,)) as host:
        yield host


async def ask(host: Host, verb: str, path: str, body: bytes | None = None, **headers: str) -> int:
    def talk() -> int:
        connection = http.client.HTTPConnection(host.http_address, timeout=60)
        try:
            connection.request(verb, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    return await asyncio.to_thread(talk)


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "127.0.0.1:8080", "localhost:8080", "[::1]:8080", "x.localhost", "box"]
)
async def test_names_of_this_machine(host, name):
    assert await ask(host, "GET", "/v1/heads", Host=name) == 200


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8080", "10.1.2.3", "127.0.0.1.evil.example"])
async def test_other_names_that_lead_here_are_refused(host, name):
    for verb, path in (("GET", "/v1/heads"), ("GET", "/v2/models/imagenet"), ("POST", "/v1/images:classify")):
        assert await ask(host, verb, path, Host=name, **JSON) == 403


async def test_the_name_of_a_page_that_may_is_taken(host):
    assert await ask(host, "GET", "/v1/heads", Host="app.example.com") == 200


async def test_pages_of_other_sites_change_nothing(host):
    own = f"http://{host.http_address}"
    assert await ask(host, "POST", "/v2/repository/index", b"{}", Origin="https://evil.example", **JSON) == 403
    assert await ask(host, "POST", "/v2/repository/index", b"{}", Origin="null", **JSON) == 403
    assert await ask(host, "DELETE", "/v1/galleries/x", Origin="https://evil.example") == 403
    assert await ask(host, "POST", "/v2/repository/index", b"{}", Origin=own, **JSON) == 200
    assert await ask(host, "POST", "/v2/repository/index", b"{}", Origin=PAGE, **JSON) == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_types_that_a_page_may_send_unasked_are_not_taken(host, kind):
    for path in ("/v2/repository/index", "/v2/models/imagenet/infer"):
        assert await ask(host, "POST", path, b"{}", **{"Content-Type": kind}) == 415


async def test_a_page_says_what_it_sends_and_a_program_need_not(host):
    assert await ask(host, "POST", "/v2/repository/index", b"{}") == 200
    assert await ask(host, "POST", "/v2/repository/index", b"{}", Origin=PAGE) == 415
