"""Pages in a browser call the HTTP port where the setting allows their origin, and nowhere else."""

import asyncio
import http.client
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from trunkline.core.errors import ConfigurationError
from trunkline.serving.host import Host
from trunkline.serving.settings import read_settings
from trunkline.testing import serve

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGE, OTHER = "http://localhost:3000", "https://other.example.com"
ALLOWED = "access-control-allow-origin"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-request-timeout"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with serve(
        heads=("imagenet",), http_address="127.0.0.1:0", http_origins=(PAGE,), max_image_bytes=200_000
    ) as host:
        yield host


async def ask(host: Host, verb: str, path: str, body: bytes | None = None, **headers: str):
    def talk():
        connection = http.client.HTTPConnection(host.http_address, timeout=60)
        try:
            connection.request(verb, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}
        finally:
            connection.close()

    return await asyncio.to_thread(talk)


@pytest.mark.parametrize("path", ["/v2/models/imagenet/infer", "/v1/images:classify"])
async def test_a_browser_is_told_that_it_may_call(host, path):
    status, headers = await ask(host, "OPTIONS", path, Origin=PAGE, **ASKED)
    assert status == 200
    assert headers[ALLOWED] == PAGE
    assert "POST" in headers["access-control-allow-methods"]
    assert headers["access-control-allow-headers"] == ASKED["Access-Control-Request-Headers"]


async def test_pages_of_other_origins_may_not(host, photos):
    status, headers = await ask(host, "OPTIONS", "/v1/images:classify", Origin=OTHER, **ASKED)
    assert (status, ALLOWED in headers) == (400, False)
    kind = {"Content-Type": "image/jpeg"}
    status, headers = await ask(host, "POST", "/v1/images:classify", photos[0].read_bytes(), Origin=OTHER, **kind)
    assert (status, ALLOWED in headers) == (403, False)  # nor does it get anything done without asking


async def test_answers_errors_and_refusals_name_the_origin(host, photos):
    kind = {"Content-Type": "image/jpeg", "Origin": PAGE}
    for body, code in ((photos[0].read_bytes(), 200), (b"x", 400), (bytes(300_000), 413)):
        status, headers = await ask(host, "POST", "/v1/images:classify", body, **kind)
        assert (status, headers[ALLOWED]) == (code, PAGE)
        assert "retry-after" in headers["access-control-expose-headers"].lower()
    status, headers = await ask(host, "GET", "/nothing", Origin=PAGE)
    assert (status, headers[ALLOWED]) == (404, PAGE)


async def test_none_may_where_nothing_is_set():
    async with serve(heads=("imagenet",), http_address="127.0.0.1:0") as host:
        status, headers = await ask(host, "OPTIONS", "/v1/images:classify", Origin=PAGE, **ASKED)
        assert (status, ALLOWED in headers) == (405, False)
        status, headers = await ask(host, "GET", "/v2/health/live", Origin=PAGE)
        assert (status, ALLOWED in headers) == (200, False)


@pytest.mark.parametrize("origin", ["localhost:3000", "http://localhost:3000/", "null", "https://a b", "ftp://x"])
async def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(ConfigurationError, match=r"TRUNKLINE_HTTP_ORIGINS: .*is no origin; write https://HOST"):
        read_settings(http_origins=(origin,))
