"""/openapi.json says what the HTTP port answers."""

import base64
import http.client
import json
import re

import jsonschema
import pytest
from openapi_spec_validator import validate

from tests.conftest import free_port, start_server
from trunkline.gateway.rest.inference import ROUTES
from trunkline.gateway.rest.rules import rules


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """A function that asks a service over HTTP: status, type and JSON of the answer."""
    address = f"127.0.0.1:{free_port()}"
    log = tmp_path_factory.mktemp("openapi") / "log"
    database = f"sqlite:///{log.with_name('galleries.db')}"
    environment = {"TRUNKLINE_HEADS": "imagenet,pets,pennfudan,camvid,digit-angle"}
    with start_server(log, "--http", address, TRUNKLINE_GALLERY_DATABASE=database, **environment):

        def talk(verb, path, body=None, kind="application/json"):
            connection = http.client.HTTPConnection(address, timeout=60)
            try:
                connection.request(verb, path, body, {"Content-Type": kind} if body else {})
                answer = connection.getresponse()
                return answer.status, answer.headers["Content-Type"], json.loads(answer.read())
            finally:
                connection.close()

        yield talk


@pytest.fixture(scope="module")
def document(ask):
    status, kind, found = ask("GET", "/openapi.json")
    assert (status, kind) == (200, "application/json")
    return found


def test_it_is_a_document_of_openapi(document):
    validate(document)


def test_it_has_every_route(document):
    found = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    native = {(rule.verb, rule.path.replace(":path}", "}")) for rule in rules()}
    assert found == native | {(route.verb, route.path) for route in ROUTES}
    names = [operation["operationId"] for verbs in document["paths"].values() for operation in verbs.values()]
    assert len(set(names)) == len(names)


def test_all_that_it_describes_has_words(document):
    for path, verbs in document["paths"].items():
        assert all(operation["description"] for operation in verbs.values()), path
    bare = [name for name, schema in document["components"]["schemas"].items() if "description" not in schema]
    assert bare == ["Status"]  # google's


@pytest.mark.parametrize(
    ("verb", "path", "route"),
    [
        ("POST", "/v1/images:classify?top_k=2", "/v1/images:classify"),
        ("POST", "/v1/images:detect", "/v1/images:detect"),
        ("POST", "/v1/images:segment?head=camvid&format=MASK_FORMAT_RLE", "/v1/images:segment"),
        ("POST", "/v1/images:regress", "/v1/images:regress"),
        ("POST", "/v1/images:embed", "/v1/images:embed"),
        ("POST", "/v1/images:analyze?heads=imagenet,nope,pets", "/v1/images:analyze"),
        ("GET", "/v1/heads?page_size=2", "/v1/heads"),
        ("GET", "/v1/heads/imagenet/2", "/v1/heads/{head}"),
        ("GET", "/v1/models", "/v1/models"),
        ("GET", "/v1/models/imagenet/versions", "/v1/models/{name}/versions"),
        ("GET", "/v1/models/imagenet/versions/2", "/v1/models/{name}/versions/{version}"),
        ("GET", "/v1/galleries", "/v1/galleries"),
        ("GET", "/v2", "/v2"),
        ("GET", "/v2/health/live", "/v2/health/live"),
        ("GET", "/v2/health/ready", "/v2/health/ready"),
        ("GET", "/v2/models/stats", "/v2/models/stats"),
        ("GET", "/v2/models/imagenet", "/v2/models/{name}"),
        ("GET", "/v2/models/imagenet/versions/2", "/v2/models/{name}/versions/{version}"),
        ("GET", "/v2/models/imagenet/ready", "/v2/models/{name}/ready"),
        ("GET", "/v2/models/imagenet/config", "/v2/models/{name}/config"),
        ("GET", "/v2/models/imagenet/versions/2/stats", "/v2/models/{name}/versions/{version}/stats"),
    ],
)
def test_answers_are_as_it_says(ask, document, photos, verb, path, route):
    picture = photos[0].read_bytes() if verb == "POST" else None
    status, _, answer = ask(verb, path, picture, "image/jpeg")
    assert status == 200
    _check(document, document["paths"][route][verb.lower()]["responses"]["200"], answer)


def test_requests_are_as_it_says(ask, document, photos):
    request = {
        "image": {"data": base64.b64encode(photos[0].read_bytes()).decode()},
        "heads": [{"head": "imagenet", "params": {"top_k": 2}, "required": True, "budget": "1.5s"}],
    }
    body = document["paths"]["/v1/images:analyze"]["post"]["requestBody"]
    _check(document, body, request)
    assert ask("POST", "/v1/images:analyze", json.dumps(request))[0] == 200
    with pytest.raises(jsonschema.ValidationError):
        _check(document, body, {"heads": [{"name": "imagenet"}]})


def test_inference_is_as_it_says(ask, document, photos):
    picture = base64.b64encode(photos[0].read_bytes()).decode()
    request = {
        "id": "a",
        "inputs": [
            {
                "name": "image",
                "shape": [1],
                "datatype": "BYTES",
                "data": [picture],
                "parameters": {"content_type": "base64"},
            }
        ],
        "parameters": {"top_k": 2},
    }
    route = document["paths"]["/v2/models/{name}/infer"]["post"]
    _check(document, route["requestBody"], request)
    status, _, answer = ask("POST", "/v2/models/imagenet/infer", json.dumps(request))
    assert status == 200, answer
    _check(document, route["responses"]["200"], answer)
    status, _, refused = ask("POST", "/v2/models/nope/infer", json.dumps(request))
    assert status == 404
    _check(document, route["responses"]["default"], refused)


def test_a_head_of_1000_classes_is_one_small_answer(ask, document):
    status, _, answer = ask("GET", "/v1/heads/imagenet")
    assert status == 200
    _check(document, document["paths"]["/v1/heads/{head}"]["get"]["responses"]["200"], answer)
    assert len(answer["head"]["labels"]) == 1000
    assert len(json.dumps(answer)) < 32 * 1024


@pytest.mark.parametrize("path", ["/v1/heads/nope", "/v1/nothing"])
def test_errors_are_as_it_says(ask, document, path):
    status, _, answer = ask("GET", path)
    assert status == 404
    _check(document, document["components"]["responses"]["Error"], answer)


def _check(document, part, value) -> None:
    """Raises ValidationError where a value is not as a part says; fields that it does not name are wrong."""
    schemas = json.loads(json.dumps(document["components"]["schemas"]))
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    schema = {**part["content"]["application/json"]["schema"], "components": {"schemas": schemas}}
    jsonschema.Draft202012Validator(schema).validate(value)
    assert re.fullmatch(r"#/components/schemas/\w+", schema["$ref"])
