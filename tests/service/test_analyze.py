"""Analyze: budgets, passes, what is required and what is not, and what a cancelled call leaves behind. Both forms."""

import asyncio

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from tests.service.slow_head import LOG, slow_heads
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import AsyncClient, HeadAsk, ServiceError
from trunkline.testing import serve, serve_split

LONG_S = 3.0


WAITING = ["w1", "w2", "w3", "w4", "w5"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[serve, serve_split])
async def address(request, models, tmp_path_factory):
    settings = slow_heads(models, tmp_path_factory.mktemp("slow"), "slow", "slow2", "other", *WAITING)
    async with request.param(**settings, threads=2) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        yield host.address


@pytest_asyncio.fixture(loop_scope="module")
async def client(address):
    LOG.clear()
    async with AsyncClient(address) as client:
        yield client


async def test_a_head_over_its_budget_costs_its_outcome_alone(client, photos):
    asks = [HeadAsk("slow", {"seconds": LONG_S}, budget_s=0.5), "imagenet", HeadAsk("slow2", budget_s=20.0)]
    async with asyncio.timeout(LONG_S):  # nobody waits for the head that is late
        done = await client.analyze(photos[0], asks)
    late, imagenet, quick = done.outcomes
    assert (late.error.code, late.error.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    assert "0.5 s" in late.error.message
    assert late.version == "1"
    assert imagenet.result.labels
    assert quick.result.fields == {"waited": 0.0}


async def test_a_required_head_over_its_budget_costs_the_call(client, photos):
    asks = [HeadAsk("slow", {"seconds": LONG_S}, required=True, budget_s=0.5), "imagenet"]
    with pytest.raises(ServiceError) as caught:
        await client.analyze(photos[0], asks)
    assert (caught.value.code, caught.value.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")


async def test_a_budget_bounds_the_pass_too_and_leaves_it_to_the_heads_with_more_time(client, photos):
    done = await client.analyze(photos[0], [HeadAsk("imagenet", budget_s=0.0001), "slow"])
    hurried, patient = done.outcomes
    assert hurried.error.code == "DEADLINE_EXCEEDED"
    assert patient.result.fields == {"waited": 0.0}
    assert done.backbone_passes == 1


@pytest.mark.parametrize("budget", [Duration(), Duration(seconds=-1), Duration(nanos=-1)])
async def test_a_budget_that_is_no_time_is_refused_and_the_head_is_named(client, photos, budget):
    async with grpc.aio.insecure_channel(client.target) as channel:
        request = pb.AnalyzeRequest(
            image=image_pb2.Image(data=photos[0].read_bytes()), heads=[pb.HeadRequest(head="slow", budget=budget)]
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await VisionServiceStub(channel).Analyze(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "budget of head 'slow'" in caught.value.details()


async def test_each_pass_is_told_with_the_spec_that_it_was_made_for(client, photos):
    done = await client.analyze(photos[0], ["imagenet", "other", "slow"])
    heads = {head.name: head.preprocess_fingerprint for head in await client.list_heads()}
    assert done.backbone_passes == 2
    assert [made.preprocess_fingerprint for made in done.passes] == [heads["imagenet"], heads["other"]]
    assert all(made.decode_ms > 0 and made.backbone_ms > 0 and made.queue_ms >= 0 for made in done.passes)
    assert done.timings.backbone_ms == pytest.approx(max(made.backbone_ms for made in done.passes))


async def test_the_time_in_a_head_tells_how_much_of_it_was_waiting(client, photos):
    asks = [HeadAsk(name, {"seconds": 0.3}) for name in ("slow", "slow2", "other")]  # three on two threads
    done = await client.analyze(photos[0], asks)
    assert all(outcome.head_ms >= 300 for outcome in done.outcomes)
    assert all(0 <= outcome.queue_ms < outcome.head_ms - 290 for outcome in done.outcomes)


async def test_heads_answer_while_the_pass_of_another_spec_is_still_to_come(client, photos):
    """The outcome of a head waits for no other head."""
    told = []

    def tell(_, outcome) -> None:
        told.append(outcome.head)
        if len(told) == 2:
            LOG.opened.set()

    asks = [("slow", {"held": True}), "other", "imagenet"]
    (done,) = [answer async for answer in client.analyze_stream([photos[0]], asks, on_outcome=tell)]
    assert told[-1] == "slow"
    assert LOG.opened.is_set()
    assert [outcome.head for outcome in done.value().outcomes] == ["slow", "other", "imagenet"]


async def test_no_text_of_a_bug_is_in_an_outcome(client, photos):
    done = await client.analyze(photos[0], [("slow", {"fail": True}), "imagenet"])
    assert (done["slow"].error.code, done["slow"].error.message) == ("INTERNAL", "internal error")
    assert done["imagenet"].result.labels


async def test_a_cancelled_call_cancels_its_passes_and_heads(client, photos):
    """30 calls of two heads each, on two threads: of those that wait, none is run after the calls are cancelled."""
    asks = [("slow", {"seconds": 0.2}), ("slow2", {"seconds": 0.2})]
    calls = [asyncio.create_task(client.analyze(photos[0], asks)) for _ in range(30)]
    await asyncio.to_thread(LOG.wait_begun, 4)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    begun = await asyncio.to_thread(LOG.wait_quiet)
    assert begun < 20
    assert (await client.analyze(photos[0], ["slow"])).outcomes[0].result  # and the service goes on


async def test_a_required_head_that_fails_stops_the_others(client, photos):
    asks = [HeadAsk("slow", {"fail": True}, required=True), *((name, {"seconds": 0.3}) for name in WAITING)]
    with pytest.raises(ServiceError) as caught:
        await client.analyze(photos[0], asks)
    assert caught.value.code == "INTERNAL"
    assert await asyncio.to_thread(LOG.wait_quiet) <= 4


async def test_under_pressure_optional_heads_are_refused_and_the_required_one_answers(models, tmp_path, photos):
    """One place for a waiting head: the required one takes it, whatever the order in which they were named."""
    settings = slow_heads(models, tmp_path, "slow", "slow2", "other")
    async with serve(**settings, threads=1, max_queue=2) as host, AsyncClient(host.address) as client:
        asks = [HeadAsk(name, {"seconds": 0.2}, required=name == "slow2") for name in ("slow", "other", "slow2")]
        asks.insert(0, HeadAsk("imagenet"))
        done = await client.analyze(photos[0], asks)
    refused = [outcome for outcome in done.outcomes if outcome.error]
    assert done["slow2"].result.fields == {"waited": 0.2}
    assert refused
    assert {outcome.error.code for outcome in refused} == {"RESOURCE_EXHAUSTED"}
    assert all(outcome.error.retry_after_s is not None for outcome in refused)


async def test_what_a_call_can_do_without_is_said_to_backbone_and_heads(client, photos, monkeypatch):
    from trunkline.backbone.engine import BackboneEngine
    from trunkline.heads.engine import HeadEngine

    said = {}
    extract, predict = BackboneEngine.extract, HeadEngine.predict

    async def noted_extract(self, request, timeout_s):
        said[request.spec.resize] = request.required
        return await extract(self, request, timeout_s)

    async def noted_predict(self, question, timeout_s):
        said[question.head] = question.required
        return await predict(self, question, timeout_s)

    monkeypatch.setattr(BackboneEngine, "extract", noted_extract)
    monkeypatch.setattr(HeadEngine, "predict", noted_predict)
    await client.analyze(photos[0], [HeadAsk("slow", required=True), "imagenet", "other"])
    assert said == {"crop": True, "squash": False, "slow": True, "imagenet": False, "other": False}
    await client.analyze(photos[0], ["slow", "other"])  # no preference at all
    assert (said["slow"], said["other"], said["squash"]) == (True, True, True)
