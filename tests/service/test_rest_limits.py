"""Hostile requests to the HTTP port: each gets a clear refusal, and nobody else notices."""

import asyncio
import base64
import json
import resource
import time
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.service.bundles import linked_repository
from tests.service.raw_http import HEALTH, answer, connect, end, send, whole_answer
from tests.service.slow_head import LOG, slow_heads
from trunkline.gateway.rest.callers import most_connections
from trunkline.serving.host import Host
from trunkline.testing import serve

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1024 * 1024
IMAGE_BYTES = 2 * MIB


@pytest.fixture(scope="module")
def repository(models, tmp_path_factory):
    return linked_repository(models, tmp_path_factory.mktemp("rest-limits"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(repository) -> AsyncIterator[Host]:
    async with serve(models=repository, http_address="127.0.0.1:0", max_image_bytes=IMAGE_BYTES) as host:
        yield host


def request(path: str, body: bytes, kind: str = "application/json", verb: str = "POST", *headers: str) -> bytes:
    lines = [f"{verb} {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def ask(host: Host, data: bytes):
    return await asyncio.to_thread(send, host.http_address, data)


def reason_of(status: dict) -> str:
    return next(each["reason"] for each in status["details"] if each["@type"].endswith("ErrorInfo"))


ODD_HEADERS = [
    b"X-Request-Id: caf\xe9",
    b"X-Request-Id: tab\x01",
    b"X-Request-Id: " + b"a" * 4000,
    b"traceparent: \xfe\xff",
    b"traceparent: 00-zz",
    b"traceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01\r\ntracestate: a=\xff",
    b"tracestate: k=v\x02",
]


@pytest.mark.parametrize("header", ODD_HEADERS)
async def test_odd_bytes_in_headers_that_are_passed_on_are_left_out(host, header):
    assert await ask(host, HEALTH + header + b"\r\n\r\n") == (200, {"live": True})


HEAD = b"POST /v1/images:classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
MALFORMED = [
    (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /v1/heads HTTP/3.0\r\nHost: x\r\n\r\n", 400),
    (b"GET /v1/heads HTTP/1.1\r\n\r\n", 400),
    (b"G\x00T /v1/heads HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (HEAD + b"Content-Length: -4\r\n\r\n", 400),
    (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
    (HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    (HEAD + b"Content-Length: 99999999999999\r\n\r\n", 413),
    (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    (HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 2000 * b"1\r\nx\r\n", 400),
    (b"GET /v1/heads?" + b"q" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    (b"GET /" + b"a" * 12_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    (HEALTH + b"Cookie: " + b"c" * 60_000 + b"\r\n\r\n", 431),
    (HEALTH + b"".join(b"a%d: b\r\n" % number for number in range(500)) + b"\r\n", 431),
    (HEALTH.replace(b"GET", b"BREW") + b"\r\n", 405),
    (b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"GET /%00%ff/..%2f HTTP/1.1\r\nHost: [\r\n\r\n", 404),
    (b"GET /v2/models/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 404),
    (
        b"GET /v1/heads?" + b"&".join(b"p%d=1" % number for number in range(500)) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    (b"GET /v1/models/x/versions/" + b"9" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (
        request(
            "/v2/models/imagenet/infer",
            b"{}",
            "application/json",
            "POST",
            "Inference-Header-Content-Length: " + "1" * 5000,
        ),
        400,
    ),
    (request("/v1/images:classify", b"x", "image/jpeg", "POST", "X-Request-Timeout: \xb2"), 400),
]


@pytest.mark.parametrize(("data", "code"), MALFORMED)
async def test_what_is_no_request_is_refused_in_json(host, data, code, caplog):
    found, body = await ask(host, data)
    assert found == code
    assert len(body.get("message") or body["error"]) < 500
    assert not caplog.records


async def test_an_old_client_and_one_that_does_not_wait_are_answered(host):
    assert await ask(host, HEALTH.replace(b"1.1", b"1.0") + b"\r\n") == (200, {"live": True})

    def pipelined() -> list[int]:
        with connect(host.http_address) as caller:
            caller.sendall(3 * (HEALTH + b"\r\n") + HEALTH + b"Connection: close\r\n\r\n")
            received = b""
            while part := caller.recv(65536):
                received += part
            return received.count(b"HTTP/1.1 200")

    assert await asyncio.to_thread(pipelined) == 4


BODIES = [
    ("/v1/images:analyze", b'{"heads":[' + b",".join(15_000 * [b'{"head":"a"}']) + b"]}", 400),
    ("/v1/images:classify", b'{"head":' + b"[" * 9_000, 400),
    ("/v1/images:classify", b'{"image":{"data":"?"},"image":{"data":"?"}}', 400),
    ("/v1/images:classify", b'{"head":"' + b"h" * 500_000 + b'"}', 400),
    ("/v1/images:classify", b'{"image":{"data":"A"}}', 400),
    ("/v1/images:classify", b'{"image":{"data":"\\ud800"}}', 400),
    ("/v1/images:classify", b'{"head":"\\ud800"}', 400),
    ("/v1/images:classify", b'{"' + b"u" * 5_000 + b'":1}', 400),
    ("/v1/images:classify", b" " * (5 * MIB), 413),
    ("/v1/models/imagenet:rollback", b" " * (2 * MIB), 413),
    ("/v2/repository/index", b"[" * 15_000, 400),
    ("/v2/repository/index", b'{"a":' * 15_000, 400),
    ("/v2/repository/index", b"[]", 400),
    ("/v2/models/imagenet/infer", b" " * (5 * MIB), 413),
    ("/v2/models/imagenet/infer", b'{"inputs":[' + b",".join(100 * [b"{}"]) + b"]}", 400),
    ("/v2/models/imagenet/infer", b'{"parameters":{' + b",".join(b'"k%d":1' % n for n in range(999)) + b"}}", 400),
    ("/v2/models/imagenet/infer", b'{"parameters":{' + b",".join(b'"k%d":1' % n for n in range(30_000)) + b"}}", 400),
]


@pytest.mark.parametrize(("path", "body", "code"), BODIES)
async def test_bodies_that_would_cost_much_are_refused(host, path, body, code):
    found, said = await ask(host, request(path, body))
    assert found == code, said
    assert len(said.get("message") or said["error"]) < 500


def tensor(data: str, count: int) -> bytes:
    head = f'{{"inputs":[{{"name":"pooled","datatype":"FP32","shape":[1,{count}],"data":'
    return head.encode() + data.encode() + b"}]}"


async def test_numbers_of_tensors_are_bounded_by_their_count_and_their_depth(host):
    path = "/v2/models/imagenet/infer"
    many = tensor("[" + ",".join(300_000 * ["1"]) + "]", 300_000)
    deep = tensor(40 * "[" + "1" + 40 * "]", 1)
    assert (await ask(host, request(path, many)))[0] == 400
    assert (await ask(host, request(path, deep))) == (400, {"error": "data has at most 16 dimensions"})
    assert (await ask(host, request(path, tensor(json.dumps([1280 * [0.5]]), 1280))))[0] == 200


async def test_health_is_answered_at_once_beside_large_bodies(host):
    """The largest of each kind that is read at all; on a slow machine each keeps the process for a moment."""
    picture = base64.b64encode(bytes(IMAGE_BYTES - 8))
    largest = [
        request("/v1/images:classify", b'{"image":{"data":"' + picture + b'"}}'),
        request("/v1/images:analyze", b'{"heads":[' + b",".join(9_000 * [b'{"head":"a"}']) + b"]}"),
        request("/v2/models/imagenet/infer", tensor("[" + ",".join(260_000 * ["0.25"]) + "]", 260_000)),
    ]
    async with grpc.aio.insecure_channel(host.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        asking = [asyncio.create_task(ask(host, each)) for each in largest]
        waited_s = []
        while not all(task.done() for task in asking):
            began_at = time.perf_counter()
            await stub.Check(health_pb2.HealthCheckRequest())
            waited_s.append(time.perf_counter() - began_at)
            await asyncio.sleep(0.005)
    assert {code for code, _ in await asyncio.gather(*asking)} <= {400, 404, 429}
    assert max(waited_s) < 2.0


@pytest.mark.parametrize("change", [lambda t: t.replace("+", "-").replace("/", "_"), lambda t: t.rstrip("=")])
async def test_base64_of_both_alphabets_is_read_with_and_without_padding(host, photos, change):
    text = change(base64.b64encode(photos[0].read_bytes()).decode())
    body = json.dumps({"image": {"data": text}, "head": "imagenet"}).encode()
    assert (await ask(host, request("/v1/images:classify", body)))[0] == 200


async def test_base64_in_lines_is_read(host, photos):
    """Longer than a slice, so that the slices do not end where groups of four do."""
    picture = photos[0].read_bytes() + bytes(MIB)
    body = json.dumps({"image": {"data": base64.encodebytes(picture).decode()}, "head": "imagenet"}).encode()
    assert (await ask(host, request("/v1/images:classify", body)))[0] == 200


async def test_a_raw_picture_over_its_limit_is_named(host):
    code, status = await ask(host, request("/v1/images:classify", bytes(IMAGE_BYTES + 1), "image/png"))
    assert (code, reason_of(status)) == (413, "BODY_TOO_LARGE")
    assert "TRUNKLINE_MAX_IMAGE_BYTES" in status["message"]


async def test_bodies_in_memory_count_until_they_have_gone(repository):
    """Two that have not ended hold what there is; the third is refused, and read when they have gone."""
    async with serve(models=repository, http_address="127.0.0.1:0", request_memory_mib=4) as host:
        large = request("/v1/images:classify", bytes(2 * MIB), "image/jpeg")
        holders = [await asyncio.to_thread(connect, host.http_address) for _ in range(2)]
        for holder in holders:
            await asyncio.to_thread(holder.sendall, large[:1_500_000])
        await until(lambda: host.budget.held_bytes > 2 * MIB)
        code, headers, body = await asyncio.to_thread(exchange, host, large)
        assert (code, reason_of(json.loads(body)), headers["retry-after"]) == (429, "MEMORY", "1")
        assert (await ask(host, request("/v1/images:classify", b"small", "image/jpeg")))[0] == 400
        for holder in holders:
            holder.close()
        await until(lambda: not host.budget.held_bytes)
        assert (await ask(host, large))[0] == 400


def exchange(host: Host, data: bytes):
    with connect(host.http_address) as caller:
        caller.sendall(data)
        return whole_answer(caller)


async def until(holds) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  there is no other sign
            await asyncio.sleep(0.02)


@pytest.fixture
def few_descriptors():
    """As many as leave 64 connections to HTTP."""
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, kept[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, kept)


async def test_idle_connections_make_place_for_new_ones(repository, few_descriptors):
    assert most_connections() == 64
    async with serve(models=repository, http_address="127.0.0.1:0") as host:
        idle = []
        for _ in range(100):
            idle.append(await asyncio.to_thread(connect, host.http_address))
            assert (await ask(host, HEALTH + b"\r\n"))[0] == 200
        gone = [await asyncio.to_thread(end, each, 0.6) is not None for each in idle[:10] + idle[-10:]]
        assert gone == 10 * [True] + 10 * [False]
        for each in idle:
            each.close()


async def test_a_caller_that_has_gone_is_worked_for_no_longer(models, tmp_path, photos, caplog):
    caplog.set_level("INFO", "trunkline.access")
    settings = slow_heads(models, tmp_path, "slow")
    async with serve(**settings, http_address="127.0.0.1:0", access_log=True) as host:
        picture = base64.b64encode(photos[0].read_bytes()).decode()
        heads = [{"head": "slow", "params": {"seconds": 5.0}}]
        body = json.dumps({"image": {"data": picture}, "heads": heads}).encode()
        caller = await asyncio.to_thread(connect, host.http_address)
        caller.sendall(request("/v1/images:analyze", body))
        await asyncio.to_thread(LOG.wait_begun, 1)
        caller.close()
        await until(lambda: "VisionService/Analyze CANCELLED" in caplog.text)
        assert not host.budget.held_bytes


async def test_a_drain_waits_for_no_body_that_does_not_come(repository):
    async with serve(models=repository, http_address="127.0.0.1:0", drain_s=20.0) as host:
        caller = await asyncio.to_thread(connect, host.http_address)
        caller.sendall(request("/v1/images:classify", bytes(MIB), "image/jpeg")[:5000])
        await until(lambda: host.budget.held_bytes)
        began_at = time.monotonic()
    assert time.monotonic() - began_at < 15
    with caller:
        assert (await asyncio.to_thread(answer, caller))[0] == 503


async def test_a_long_answer_comes_whole_to_a_slow_reader(host):
    """Longer than what the system keeps for a connection."""
    names = ["c2", "c3"]
    pixels = {"name": "image", "datatype": "BYTES", "shape": [8], "parameters": {"content_type": "base64"}}
    picture = base64.b64encode(PNG).decode()
    document = {"inputs": [{**pixels, "data": 8 * [picture]}], "outputs": [{"name": name} for name in names]}
    data = request("/v2/models/efficientnet-lite0/infer", json.dumps(document).encode())

    def read_late():
        with connect(host.http_address) as caller:
            caller.sendall(data)
            time.sleep(3)
            return whole_answer(caller)

    code, _, body = await asyncio.to_thread(read_late)
    assert code == 200
    assert [len(each["data"]) > 10_000 for each in json.loads(body)["outputs"]] == [True, True]
    await until(lambda: not host.budget.held_bytes)


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
