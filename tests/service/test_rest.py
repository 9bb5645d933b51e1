"""HTTP and JSON: the native calls by their rules, errors, limits, and the drain."""

import asyncio
import base64
import http.client
import json
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.service.bundles import linked_repository
from trunkline.client import AsyncClient
from trunkline.core.errors import ConfigurationError, QueueFullError
from trunkline.gateway.rest.errors import as_error_object, as_status
from trunkline.gateway.rest.rules import Rule, rules
from trunkline.serving.host import Host
from trunkline.testing import serve, serve_split

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMIT_BYTES = 1024 * 1024
HTTP = {"http_address": "127.0.0.1:0", "max_message_bytes": LIMIT_BYTES}
JSON = {"Content-Type": "application/json"}
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def repository(models, tmp_path_factory):
    return linked_repository(models, tmp_path_factory.mktemp("rest"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(repository) -> AsyncIterator[Host]:
    async with serve(models=repository, **HTTP) as host:
        yield host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def split(repository) -> AsyncIterator[Host]:
    async with serve_split(models=repository, **HTTP) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        yield host


@pytest.fixture(params=["one", "split"])
def host(request) -> Host:
    return request.getfixturevalue(request.param)


async def ask(host: Host, verb: str, path: str, body=None, headers=None):
    """Status, headers and JSON of the answer. A body that is an iterator goes in chunks, without a length."""

    def talk():
        connection = http.client.HTTPConnection(host.http_address, timeout=60)
        try:
            connection.request(verb, path, body, headers or {}, encode_chunked=isinstance(body, Iterator))
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), json.loads(answer.read())
        finally:
            connection.close()

    return await asyncio.to_thread(talk)


def reason_of(status: dict) -> str:
    return next(each["reason"] for each in status["details"] if each["@type"].endswith("ErrorInfo"))


async def test_json_and_raw_pictures_get_the_answer_of_the_native_call(host, photos):
    async with AsyncClient(host.address) as client:
        native = (await client.classify(photos[0], top_k=2)).result.labels
    picture = photos[0].read_bytes()
    document = json.dumps({"image": {"data": base64.b64encode(picture).decode()}, "top_k": 2})
    as_json = await ask(host, "POST", "/v1/images:classify", document, JSON)
    raw = await ask(host, "POST", "/v1/images:classify?top_k=2&head=imagenet", picture, JPEG)
    for code, _, answer in (as_json, raw):
        assert code == 200
        labels = answer["outcome"]["classification"]["labels"]
        assert [(label["index"], label["label"]) for label in labels] == [
            (label.index, label.label) for label in native
        ]
        assert [label["score"] for label in labels] == pytest.approx([label.score for label in native], rel=1e-6)


async def test_analyze_takes_a_raw_picture_and_a_list_of_heads(host, photos):
    code, _, answer = await ask(
        host, "POST", "/v1/images:analyze?heads=imagenet,nothing", photos[0].read_bytes(), JPEG
    )
    assert code == 200
    assert [each["head"] for each in answer["outcomes"]] == ["imagenet", "nothing"]
    assert answer["outcomes"][1]["error"]["reason"] == "NOT_FOUND"
    assert answer["backbone_passes"] == 1


async def test_heads_and_models_are_described(host):
    _, _, heads = await ask(host, "GET", "/v1/heads?task=classification&page_size=1")
    _, _, head = await ask(host, "GET", "/v1/heads/imagenet/2")
    _, _, version = await ask(host, "GET", "/v1/models/imagenet/versions/2")
    assert [each["name"] for each in heads["heads"]] == ["imagenet"]
    assert head["head"] == heads["heads"][0]
    assert version["version"]["digest"] == head["head"]["digest"]


async def test_the_catalog_is_changed_by_put_and_delete(models, tmp_path):
    async with serve(models=linked_copy(models, tmp_path), **HTTP) as host:
        put = await ask(host, "PUT", "/v1/models/imagenet/aliases/stable", '{"version": 2}', JSON)
        gone = await ask(host, "DELETE", "/v1/models/imagenet/aliases/stable")
    assert (put[0], put[2]["model"]["aliases"]) == (200, {"stable": "2"})
    assert (gone[0], gone[2]["model"]["aliases"]) == (200, {})


def linked_copy(models, folder):
    """A repository whose folder of imagenet can be written."""
    repository = linked_repository(models, folder)
    head = repository / "heads/imagenet"
    shipped = head.resolve()
    head.unlink()
    head.mkdir()
    (head / "2").symlink_to(shipped / "2")
    return repository


BAD = [
    ("POST", "/v1/images:classify", b"no picture", JPEG, 400, "INVALID_IMAGE"),
    ("POST", "/v1/images:classify?head=nothing", b"x", JPEG, 404, "NOT_FOUND"),
    ("POST", "/v1/images:classify?top_k=many", b"x", JPEG, 400, "INVALID_REQUEST"),
    ("POST", "/v1/images:classify?colour=red", b"x", JPEG, 400, "INVALID_REQUEST"),
    ("POST", "/v1/images:classify", b"{", JSON, 400, "INVALID_REQUEST"),
    ("POST", "/v1/images:classify", b'{"picture": 1}', JSON, 400, "INVALID_REQUEST"),
    ("POST", "/v1/images:classify", b"[" * 99999, JSON, 400, "INVALID_REQUEST"),
    (
        "POST",
        "/v1/images:classify",
        b'{"image": {"data": "data:image/png;base64,AAAA"}}',
        JSON,
        400,
        "INVALID_REQUEST",
    ),
    ("POST", "/v1/images:classify", b"data:image/png;base64,AAAA", JPEG, 400, "INVALID_IMAGE"),
    ("POST", "/v1/images:classify", b"\xff", JSON, 400, "INVALID_REQUEST"),
    ("POST", "/v1/images:classify", b"{}", {"Content-Type": "text/plain"}, 415, "MEDIA_TYPE"),
    ("POST", "/v1/models/imagenet:rollback", b"{}", {}, 415, "MEDIA_TYPE"),
    ("POST", "/v1/models/imagenet:rollback", b"", JPEG, 415, "MEDIA_TYPE"),
    ("POST", "/v1/images:classify", b"x", {**JPEG, "Content-Encoding": "br"}, 415, "MEDIA_TYPE"),
    ("POST", "/v1/images:classify", b"x", {**JPEG, "Content-Encoding": "gzip, gzip"}, 415, "MEDIA_TYPE"),
    ("GET", "/v1/heads/nothing", None, {}, 404, "NOT_FOUND"),
    ("GET", "/v1/heads", None, {"X-Request-Timeout": "soon"}, 400, "INVALID_REQUEST"),
    ("POST", "/v1/images:classify", b"x" * (LIMIT_BYTES + 1), JPEG, 413, "BODY_TOO_LARGE"),
]


@pytest.mark.parametrize(("verb", "path", "body", "headers", "code", "reason"), BAD)
async def test_errors_are_a_status_with_its_reason(host, verb, path, body, headers, code, reason):
    found, _, status = await ask(host, verb, path, body, headers)
    assert (found, reason_of(status)) == (code, reason)


async def test_a_body_without_a_length_is_bounded_while_it_is_read(host):
    def endless():
        for _ in range(64):
            yield b"x" * 65536

    code, _, status = await ask(host, "POST", "/v1/images:classify", endless(), JPEG)
    assert (code, reason_of(status)) == (413, "BODY_TOO_LARGE")


async def test_the_timeout_of_a_header_is_kept(host, photos):
    headers = {**JPEG, "X-Request-Timeout": "0.001"}
    code, _, status = await ask(host, "POST", "/v1/images:classify", photos[0].read_bytes(), headers)
    assert (code, status["code"]) == (504, 4)


async def test_what_is_not_there_is_said_in_json(host):
    code, _, status = await ask(host, "GET", "/v1/nothing")
    assert (code, reason_of(status)) == (404, "UNIMPLEMENTED")
    assert (await ask(host, "DELETE", "/v1/heads"))[0] == 405
    assert (await ask(host, "GET", "/v2/nothing"))[2] == {"error": "there is no GET /v2/nothing here"}


async def test_a_head_of_nearly_that_name_is_told(host):
    code, _, status = await ask(host, "POST", "/v1/images:classify?head=imagnet", b"x", JPEG)
    assert code == 404
    assert status["message"].startswith("there is no head 'imagnet'; did you mean imagenet? heads served: ")


async def test_a_call_that_is_not_served_is_not_implemented(host):
    code, _, status = await ask(host, "GET", "/v1/trainingJobs")
    assert (code, status["code"]) == (501, 12)


async def test_tensors_come_as_plain_json_too(host, photos):
    picture = base64.b64encode(photos[0].read_bytes()).decode()
    document = {
        "id": "7",
        "inputs": [
            {
                "name": "image",
                "shape": [1, 1],
                "datatype": "BYTES",
                "parameters": {"content_type": "base64"},
                "data": [[picture]],
            }
        ],
        "outputs": [{"name": "labels"}, {"name": "scores"}],
        "parameters": {"top_k": 2},
    }
    code, _, answer = await ask(host, "POST", "/v2/models/imagenet/versions/2/infer", json.dumps(document), JSON)
    assert (code, answer["id"], answer["model_version"]) == (200, "7", "2")
    labels, scores = answer["outputs"]
    assert (labels["shape"], len(labels["data"]), scores["datatype"]) == ([1, 2], 2, "FP32")
    assert 1 >= scores["data"][0] >= scores["data"][1] > 0


MALFORMED = [
    b"",
    b"[]",
    b'{"inputs": 3}',
    b'{"inputs": [{"name": "image"}]}',
    b'{"inputs": [1]}',
    b"\xff\xfe",
    b"[" * 9999,
]


@pytest.mark.parametrize("body", MALFORMED)
async def test_a_malformed_inference_request_is_refused(host, body):
    code, _, answer = await ask(host, "POST", "/v2/models/imagenet/infer", body, JSON)
    assert (code, "the body" in answer["error"]) == (400, True)


@pytest.mark.parametrize(("length", "size"), [("99999", 0), ("-1", 0), (None, 3), (None, -1), (None, "x")])
async def test_lengths_that_do_not_hold_are_refused(host, length, size):
    tensor = {
        "name": "image",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": size},
    }
    body = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": length or str(len(body))}
    code, _, answer = await ask(host, "POST", "/v2/models/imagenet/infer", body, headers)
    assert code == 400, answer


async def test_every_call_with_one_answer_has_a_rule_whose_names_are_fields():
    found = list(rules())
    services = {rule.method.containing_service for rule in found}
    unary = {
        method.full_name
        for service in services
        for method in service.methods
        if not (method.server_streaming or method.client_streaming)
    }
    assert {rule.method.full_name for rule in found} == unary
    for rule in found:
        assert set(fields_of(rule)) <= set(rule.method.input_type.fields_by_name)


def fields_of(rule: Rule) -> list[str]:
    return [part.partition("}")[0].partition(":")[0] for part in rule.path.split("{")[1:]]


async def test_a_full_queue_says_when_to_come_back():
    error = QueueFullError("full", retry_after_s=1.2)
    for made in (as_status, as_error_object):
        answer = made(error)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


async def test_a_queue_that_is_full_is_429_with_retry_after(repository, photos):
    picture = min((photo.read_bytes() for photo in photos), key=len)
    part = len(picture).to_bytes(4, "little") + picture
    tensor = {
        "name": "image",
        "shape": [8, 1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": 8 * len(part)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    async with serve(models=repository, threads=1, max_queue=1, **HTTP) as host:
        code, found, answer = await ask(host, "POST", "/v2/models/imagenet/infer", head + 8 * part, headers)
    assert code == 429, answer
    assert int(found["retry-after"]) >= 1
    assert "of the batch of 8: " in answer["error"]


async def test_the_text_of_a_bug_stays_here(caplog):
    assert as_status(RuntimeError("a secret")).body == as_status(ValueError("another")).body
    assert b"secret" not in as_error_object(RuntimeError("a secret")).body
    assert "a secret" in caplog.text


async def test_the_port_is_off_unless_it_is_set_and_a_taken_one_is_named(one, repository):
    async with serve(models=repository) as host:
        assert host.http_address == ""
    with pytest.raises(ConfigurationError, match="--http HOST:PORT"):
        async with serve(models=repository, http_address=one.http_address):
            pass


@pytest.mark.parametrize("form", [serve, serve_split])
async def test_a_drain_is_seen_and_loses_no_request_in_flight(repository, photos, form):
    picture = photos[0].read_bytes()
    async with form(models=repository, drain_pause_s=4.0, **HTTP) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        assert (await ask(host, "GET", "/v2/health/ready"))[0] == 200
        draining = asyncio.create_task(host.drain())
        flying = [asyncio.create_task(ask(host, "POST", "/v1/images:classify", picture, JPEG)) for _ in range(4)]
        await asyncio.sleep(0)
        assert (await ask(host, "GET", "/v2/health/ready"))[0] == 503
        assert [code for code, _, _ in await asyncio.gather(*flying)] == [200] * 4
        await draining
        code, _, status = await ask(host, "POST", "/v1/images:classify", picture, JPEG)
        assert (code, status["code"]) == (503, 14)
