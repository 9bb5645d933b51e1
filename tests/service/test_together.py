"""Quick heads of one head service are asked in one call about a picture, with the answers that they give alone."""

import grpc
import numpy as np
import pytest

from tests.service.bundles import add_regression_head, linked_repository
from trunkline.api.inference.v1 import head_service_pb2 as pb
from trunkline.api.inference.v1.head_service_pb2_grpc import HeadServiceStub
from trunkline.client import AsyncClient, HeadAsk
from trunkline.core.errors import NotFoundError
from trunkline.core.preprocess import Frame
from trunkline.core.repository import Repository
from trunkline.gateway.remote import RemoteHeads
from trunkline.heads.servicer import HeadServicer
from trunkline.serving import wire
from trunkline.serving.status import from_head_error
from trunkline.testing import serve_split

MEASURE = {"name": "size", "unit": "mm", "kind": "number", "low": -10.0, "high": 10.0}
HEADS = ("imagenet", "lengths", "widths")


@pytest.fixture(scope="module")
def repository(models, tmp_path_factory):
    found = linked_repository(models, tmp_path_factory.mktemp("together"))
    for seed, name in enumerate(HEADS[1:]):
        weights = np.random.default_rng(seed).normal(0, 0.05, (1280, 1))
        add_regression_head(found, name, [MEASURE], weights, [1.0])
    return found


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, ...]]:
    """The heads of each call that head services got."""
    seen: list[tuple[str, ...]] = []
    one, several = HeadServicer.Predict, HeadServicer.PredictAll

    async def predict(self, request, context):
        seen.append((request.head,))
        return await one(self, request, context)

    async def predict_all(self, request, context):
        seen.append(tuple(each.head for each in request.questions))
        return await several(self, request, context)

    monkeypatch.setattr(HeadServicer, "Predict", predict)
    monkeypatch.setattr(HeadServicer, "PredictAll", predict_all)
    return seen


async def grouped(client: AsyncClient, photo, asks, calls):
    """The first answer whose heads were asked in one call; on a busy machine runs may be long for a while."""
    for _ in range(100):
        calls.clear()
        answer = await client.analyze(photo, asks)
        if len(calls) == 1:
            return answer
    pytest.fail(f"never in one call: {calls}")


async def test_quick_heads_are_asked_in_one_call_and_answer_the_same(repository, photos, calls):
    async with serve_split(models=repository) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        first = await client.analyze(photos[0], HEADS)
        assert sorted(calls) == [("imagenet",), ("lengths",), ("widths",)]
        later = await grouped(client, photos[0], HEADS, calls)
        assert calls == [HEADS]
        assert [outcome.result for outcome in later.outcomes] == [outcome.result for outcome in first.outcomes]
        assert all(outcome.head_ms > 0 for outcome in later.outcomes)
        calls.clear()
        assert (await client.classify(photos[0])).result == first["imagenet"].result
        assert calls == [("imagenet",)]
        # What the call can do without is dropped first, so it has a call of its own.
        calls.clear()
        await client.analyze(photos[0], [HeadAsk("imagenet", required=True), *HEADS[1:]])
        assert sorted(calls) == [("imagenet",), HEADS[1:]]
        # Parameters of which nothing is known yet may make a head slow.
        calls.clear()
        other = await client.analyze(photos[0], [HeadAsk("imagenet", {"top_k": 2}), *HEADS[1:]])
        assert sorted(calls) == [("imagenet",), HEADS[1:]]
        assert len(other["imagenet"].result.labels) == 2


async def test_a_head_service_of_an_older_version_is_asked_head_by_head(repository, photos, calls, monkeypatch):
    tried: list[bool] = []

    async def unknown(self, request, context):
        tried.append(True)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    monkeypatch.setattr(HeadServicer, "PredictAll", unknown)
    async with serve_split(models=repository) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        found = []
        while not tried and len(found) < 100:
            found.append(await client.analyze(photos[0], HEADS))
        found.append(await client.analyze(photos[0], HEADS))
        assert len(tried) == 1  # and never again
        assert set(calls) == {("imagenet",), ("lengths",), ("widths",)}
        assert len(calls) == 3 * len(found)
        results = [[outcome.result for outcome in each.outcomes] for each in found]
        assert all(each == results[0] for each in results)


async def test_faults_of_one_question_and_of_all(repository, monkeypatch):
    addresses = []
    begin = RemoteHeads.__init__

    def noted(self, channel, address):
        addresses.append(address)
        begin(self, channel, address)

    monkeypatch.setattr(RemoteHeads, "__init__", noted)
    async with serve_split(models=repository), grpc.aio.insecure_channel(addresses[0]) as channel:
        stub = HeadServiceStub(channel)
        request = pb.PredictAllRequest(
            features=wire.tensors_to_pb({"pooled": np.zeros((1, 1280), np.float32)}),
            frame=wire.frame_to_pb(Frame(640, 480, 1.0, 0.0, 1.0, 0.0, 224, 224)),
            backbone_digest=Repository(repository).backbone("efficientnet-lite0").manifest.digest,
            questions=[pb.HeadQuestion(head=name, features=["pooled"]) for name in ("lengths", "none", "widths")],
        )
        answer = await stub.PredictAll(request)
        assert [each.head for each in answer.outcomes] == ["lengths", "none", "widths"]
        assert [each.HasField("error") for each in answer.outcomes] == [False, True, False]
        error = from_head_error(answer.outcomes[1].error)
        assert isinstance(error, NotFoundError)
        assert "'none'" in str(error)
        request.questions[0].features.append("c9")
        with pytest.raises(grpc.aio.AioRpcError, match="features for head 'lengths' were not sent: c9"):
            await stub.PredictAll(request)
        del request.questions[:]
        with pytest.raises(grpc.aio.AioRpcError, match="without a question"):
            await stub.PredictAll(request)
