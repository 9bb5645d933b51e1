"""Bodies in gzip and deflate over HTTP, as tritonclient sends them: read as without, never inflated past a limit."""

import asyncio
import gc
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator
from functools import cache

import numpy as np
import pytest
import pytest_asyncio

from tests.service.raw_http import connect, send, whole_answer
from tests.service.triton import triton_process
from trunkline.gateway.rest.inflating import STEP_BYTES, Inflater
from trunkline.serving.host import Host
from trunkline.testing import serve

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1024 * 1024
ENCODE = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with serve(
        heads=("imagenet",), http_address="127.0.0.1:0", max_image_bytes=2 * MIB, max_message_bytes=8 * MIB
    ) as host:
        yield host


def request(path: str, body: bytes, encoding: str, kind: str = "image/jpeg", length: int | None = None) -> bytes:
    declared = len(body) if length is None else length
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", f"Content-Encoding: {encoding}"]
    return "\r\n".join([*lines, f"Content-Length: {declared}"]).encode() + b"\r\n\r\n" + body


async def ask(host: Host, data: bytes):
    return await asyncio.to_thread(send, host.http_address, data)


@cache
def bomb(mib: int) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(deflate.compress(bytes(MIB)) for _ in range(mib)), deflate.flush()])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP"])
async def test_a_picture_and_json_are_read_as_without(host, photos, encoding):
    encode = ENCODE[encoding.lower()]
    picture = photos[0].read_bytes()
    plain = await ask(host, request("/v1/images:classify", picture, "identity"))
    packed = await ask(host, request("/v1/images:classify", encode(picture), encoding))
    assert plain[0] == packed[0] == 200
    assert packed[1]["outcome"]["classification"] == plain[1]["outcome"]["classification"]
    document = encode(json.dumps({"image": {"data": "AAAA"}}).encode())
    status, answer = await ask(host, request("/v1/images:classify", document, encoding, "application/json"))
    assert (status, answer["details"][0]["reason"]) == (400, "INVALID_IMAGE")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
async def test_tritonclient_compresses_its_requests(host, photos, algorithm):
    images = np.array([[photos[0].read_bytes()], [photos[1].read_bytes()]], object)
    with triton_process() as triton:
        plain = await triton.run("infer", "http", host.http_address, "imagenet", {"image": images})
        options = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
        packed = await triton.run("infer", "http", host.http_address, "imagenet", {"image": images}, **options)
    assert set(plain) == set(packed)
    numbers = [name for name, value in plain.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    assert numbers
    for name in numbers:
        assert np.array_equal(plain[name], packed[name])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/images:classify", "image/jpeg"),
        ("/v1/images:classify", "application/json"),
        ("/v2/models/imagenet/infer", "application/octet-stream"),
    ],
)
async def test_a_bomb_ends_at_the_limit_of_its_route(host, path, kind):
    status, answer = await ask(host, request(path, bomb(100), "gzip", kind))
    assert status == 413
    assert "over the limit" in (answer["error"] if path.startswith("/v2") else answer["message"])


async def test_others_are_answered_while_a_body_is_inflated(host):
    data = request("/v1/images:classify", bomb(100), "gzip")
    bombs = [asyncio.create_task(ask(host, data)) for _ in range(4)]
    took_s = []
    gc.disable()  # one collection walks all that the tests of this process hold: half a second
    try:
        while not all(each.done() for each in bombs):
            began_at = time.thread_time()  # of the event loop: what others wait for, on a busy machine too
            await asyncio.sleep(0)
            took_s.append(time.thread_time() - began_at)
    finally:
        gc.enable()
    assert max(took_s) < 0.5


async def test_what_inflates_to_nothing_is_bounded_too(host):
    empty = b"\x00\x00\x00\xff\xff"  # a stored block without bytes, which is not the last one
    body = zlib.compress(b"")[:2] + empty * (3 * MIB // len(empty))
    status, _ = await ask(host, request("/v1/images:classify", body, "deflate"))
    assert status == 413

    def in_chunks():
        with connect(host.http_address) as caller:
            head = request("/v1/images:classify", b"", "deflate").replace(
                b"Content-Length: 0", b"Transfer-Encoding: chunked"
            )
            caller.sendall(head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
            return whole_answer(caller)[0]

    assert await asyncio.to_thread(in_chunks) == 413


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"no gzip at all", "is not gzip"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-4], "cut off"),
        (gzip.compress(b"x", mtime=0) + b"more", "bytes follow"),
        (b"", "cut off"),
    ],
)
async def test_what_is_not_compressed_as_it_says_is_refused(host, body, said):
    status, answer = await ask(host, request("/v1/images:classify", body, "gzip"))
    assert status == 400
    assert said in answer["message"]


async def test_a_step_is_bounded():
    inflater = Inflater("gzip")
    steps = [len(step) for step in inflater.steps(bomb(8))]
    inflater.check_end()
    assert max(steps) <= STEP_BYTES
    assert sum(steps) == 8 * MIB
