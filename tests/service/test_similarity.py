"""Similarity heads with real ONNX files on the real backbone, through the gateway, in both forms."""

import asyncio
import base64
import json
import math
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import pytest_asyncio

from tests.service.bundles import linked_repository
from tests.service.embedders import CALIBRATED, WIDTH, add_embedding_head
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import AsyncClient, Client, ServiceError
from trunkline.core.results import Calibration, Embedding
from trunkline.testing import serve, serve_split

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def repository(models, tmp_path_factory):
    """`things`, calibrated; `others`, a space of its own, not calibrated; `spoilt`, whose settings are wrong."""
    found = linked_repository(models, tmp_path_factory.mktemp("similarity"))
    add_embedding_head(found, "things", 1, CALIBRATED)
    add_embedding_head(found, "things", 3, CALIBRATED, version=2)
    add_embedding_head(found, "others", 2)
    add_embedding_head(found, "spoilt", 4, {"threshold": 0.5})
    (found / "heads/things/catalog.json").write_text(json.dumps({"default": 1, "aliases": {"next": 2}}))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(repository) -> AsyncIterator[AsyncClient]:
    async with serve(models=repository) as host, AsyncClient(host.address) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def split(repository) -> AsyncIterator[AsyncClient]:
    async with serve_split(models=repository) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=60)
        yield client


@pytest.fixture(params=["one", "split"])
def client(request) -> AsyncClient:
    return request.getfixturevalue(request.param)


async def refused(call) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value


async def test_a_vector_has_length_one_its_space_and_what_distances_mean(client, photos):
    answer = await client.embed(photos[0], "things")
    assert (answer.head, answer.version) == ("things", "1")
    assert len(answer.result.values) == WIDTH
    assert np.linalg.norm(answer.result.values) == pytest.approx(1, abs=1e-6)
    assert answer.result.calibration == Calibration(0.5, -8.0, 4.0)
    assert (await client.embed(photos[0], "others")).result.calibration is None


async def test_both_forms_embed_and_compare_bit_for_bit_alike(one, split, photos):
    seen = set()
    for first, second in pairwise(photos):
        vectors = [(await client.embed(first, "things")).result for client in (one, split)]
        compared = [(await client.compare(first, second, "things")).result for client in (one, split)]
        assert vectors[0] == vectors[1]
        assert compared[0] == compared[1]
        seen.add(vectors[0])
    assert len(seen) == len(photos) - 1, "the vectors must follow the picture"


async def test_a_comparison_is_that_of_the_two_vectors(client, photos):
    first, second = [(await client.embed(photo, "things")).result for photo in photos[:2]]
    found = (await client.compare(photos[0], photos[1], "things")).result
    one, other = np.array(first.values), np.array(second.values)
    assert found.space == first.space
    assert found.distance == pytest.approx(float(np.linalg.norm(one - other)), abs=1e-6)
    assert found.similarity == pytest.approx(float(one @ other), abs=1e-6)
    assert found.probability == pytest.approx(1 / (1 + math.exp(8 * found.distance - 4)), abs=1e-9)
    assert (found.threshold, found.same) == (0.5, found.distance <= 0.5)
    itself = (await client.compare(photos[0], photos[0], "things")).result
    assert (itself.distance, itself.same) == (0.0, True)
    unknown = (await client.compare(photos[0], photos[1], "others")).result
    assert (unknown.probability, unknown.threshold, unknown.same) == (None, None, None)


async def test_a_vector_that_was_answered_before_is_compared_like_its_picture(client, photos):
    before = (await client.embed(photos[1], "things")).result
    pictures = await client.compare(photos[0], photos[1], "things")
    stored = await client.compare(photos[0], before, "things")
    assert stored.result.distance == pytest.approx(pictures.result.distance, abs=1e-6)
    longer = replace(before, values=tuple(3 * value for value in before.values))
    assert (await client.compare(photos[0], longer, "things")).result.distance == pytest.approx(
        stored.result.distance, abs=1e-6
    )


@pytest.mark.parametrize("head", ["others", "things/2", "things@next"])
async def test_vectors_of_different_spaces_are_never_compared(client, photos, head):
    mine, theirs = [(await client.embed(photos[0], name)).result for name in ("things", head)]
    error = await refused(client.compare(photos[0], theirs, "things"))
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "SPACE_MISMATCH")
    assert mine.space in error.message
    assert theirs.space in error.message
    assert {error.metadata["first_space"], error.metadata["second_space"]} == {mine.space, theirs.space}


@pytest.mark.parametrize(
    ("vector", "word"),
    [
        (lambda found: replace(found, values=found.values[:3]), "3"),
        (lambda found: replace(found, values=(0.0,) * WIDTH), "direction"),
        (lambda found: replace(found, values=(math.nan,) * WIDTH), "direction"),
        (lambda found: replace(found, space=""), "space"),
    ],
)
async def test_what_is_no_vector_of_the_space_is_refused(client, photos, vector, word):
    found = (await client.embed(photos[0], "things")).result
    error = await refused(client.compare(photos[0], vector(found), "things"))
    assert error.code == "INVALID_ARGUMENT"
    assert word in error.message


async def test_a_request_without_one_of_the_two_says_what_is_missing(one, photos):
    stub = VisionServiceStub(one._channel)
    picture = photos[0].read_bytes()
    for request, word in (
        (pb.CompareRequest(head="things"), "first_image"),
        (pb.CompareRequest(head="things", first_image={"data": picture}), "second_image"),
    ):
        with pytest.raises(Exception, match=word):
            await stub.Compare(request)


async def test_a_bad_picture_costs_the_comparison(client, photos):
    for pair in ((photos[0], b"no picture"), (b"no picture", photos[0])):
        error = await refused(client.compare(*pair, "things"))
        assert (error.code, error.reason) == ("INVALID_ARGUMENT", "INVALID_IMAGE")


async def test_calls_for_other_tasks_are_named(client, photos):
    wrong = await refused(client.classify(photos[0], "things"))
    assert wrong.message.endswith("use Embed or Analyze")
    for call in (client.embed(photos[0], "imagenet"), client.compare(photos[0], photos[1], "imagenet")):
        error = await refused(call)
        assert (error.reason, error.metadata["head"]) == ("WRONG_TASK", "imagenet")
        assert "Classify" in error.message


async def test_a_head_with_half_a_calibration_is_not_served(client, photos):
    error = await refused(client.embed(photos[0], "spoilt"))
    assert error.reason == "MODEL_INVALID"
    assert "belong together" in error.message


async def test_the_plain_client_and_analyze_give_the_same(one, photos):
    def ask():
        with Client(one.target) as plain:
            return plain.embed(photos[0], "things"), plain.compare(photos[0], photos[1], "things")

    embedded, compared = await asyncio.to_thread(ask)
    done = await one.analyze(photos[0], ["things", "imagenet"])
    assert done["things"].value() == embedded.result == (await one.embed(photos[0], "things")).result
    assert compared.result == (await one.compare(photos[0], photos[1], "things")).result


async def test_both_calls_have_their_path(repository, photos):
    async with serve(models=repository, http_address="127.0.0.1:0") as host:
        picture = base64.b64encode(photos[0].read_bytes()).decode()
        url = f"http://{host.http_address}/v1/images"
        asked = {"image": {"data": picture}, "head": "things"}
        found = await asyncio.to_thread(_post, f"{url}:embed", asked)
        values = found["outcome"]["embedding"]["values"]
        async with AsyncClient(host.address) as client:
            there = (await client.embed(photos[0], "things")).result
        assert values == pytest.approx(there.values, abs=1e-7)
        embedding = {"space": there.space, "values": values}
        both = {"first_image": {"data": picture}, "second_embedding": embedding, "head": "things"}
        compared = (await asyncio.to_thread(_post, f"{url}:compare", both))["comparison"]
        assert compared["distance"] == pytest.approx(0, abs=1e-6)
        assert compared["same"] is True
        with pytest.raises(urllib.error.HTTPError) as refusal:
            await asyncio.to_thread(
                _post, f"{url}:compare", {**both, "second_embedding": {**embedding, "space": "x"}}
            )
        assert refusal.value.code == 400
        with refusal.value:
            assert "SPACE_MISMATCH" in refusal.value.read().decode()


def _post(url: str, fields: dict) -> dict:
    request = urllib.request.Request(url, json.dumps(fields).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


async def test_an_embedding_is_a_value(one, photos):
    found = (await one.embed(photos[0], "things")).result
    assert isinstance(found, Embedding)
    assert found in {found}
