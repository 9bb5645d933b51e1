"""Every error of the design's table, through real servers in both forms: code, reason, one clear line."""

import grpc
import pytest

from tests.service.bundles import repository_with_head
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import AsyncClient, ServiceError
from trunkline.testing import serve, serve_split


@pytest.fixture(params=[serve, serve_split])
def form(request):
    return request.param


async def refused(client: AsyncClient, **call) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await client.classify(**call)
    return caught.value


async def test_an_unknown_head_is_not_found_and_the_known_ones_are_named(form, photos):
    async with form(heads=("imagenet",)) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        error = await refused(client, image=photos[0], head="nothing")
    assert (error.code, error.reason) == ("NOT_FOUND", "NOT_FOUND")
    assert "imagenet" in error.message


@pytest.mark.parametrize("top_k", [0, -1, 1001])
async def test_a_top_k_out_of_range_is_named(form, photos, top_k):
    async with form(heads=("imagenet",)) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        error = await refused(client, image=photos[0], top_k=top_k)
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert "top_k" in error.message


async def test_a_head_of_another_backbone_is_refused_and_both_digests_are_named(form, photos, models, tmp_path):
    repository = repository_with_head(models, tmp_path, "stranger", backbone_digest="0" * 64)
    async with form(models=repository) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        error = await refused(client, image=photos[0], head="stranger")
        done = await client.analyze(photos[0], ["stranger", "imagenet"])
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "BACKBONE_MISMATCH")
    assert error.metadata["head_backbone_digest"] == "0" * 64
    assert error.metadata["served_backbone_digest"] in error.message
    assert done.outcomes[0].error.reason == "BACKBONE_MISMATCH"
    assert done.outcomes[1].result.labels


async def test_a_head_whose_golden_answer_does_not_hold_costs_itself_alone(form, photos, models, tmp_path):
    repository = repository_with_head(models, tmp_path, "broken", spoil_golden=True)
    async with form(models=repository) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        error = await refused(client, image=photos[0], head="broken")
        ready = {head.name: head.ready for head in await client.list_heads()}
        good = await client.classify(photos[0], head="imagenet")
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "MODEL_INVALID")
    assert ready == {"broken": False, "imagenet": True}
    assert good.result.labels


async def test_several_heads_of_a_task_ask_for_a_name(form, photos, models, tmp_path):
    repository = repository_with_head(models, tmp_path, "second")
    async with form(models=repository, default_heads=()) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        error = await refused(client, image=photos[0])
    assert error.code == "NOT_FOUND"
    assert "imagenet, second" in error.message


async def test_of_several_heads_the_default_one_answers(form, photos, models, tmp_path):
    repository = repository_with_head(models, tmp_path, "second")
    async with form(models=repository, default_heads=("second",)) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        assert (await client.classify(photos[0])).head == "second"


async def test_a_full_queue_says_when_to_try_again(photos):
    import asyncio

    async with serve(heads=("imagenet",), max_queue=2) as host, AsyncClient(host.address) as client:
        answers = await asyncio.gather(*(client.classify(photos[0]) for _ in range(30)), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, ServiceError)]
    assert refusals
    assert len(refusals) < 30
    assert {(error.code, error.reason) for error in refusals} == {("RESOURCE_EXHAUSTED", "QUEUE_FULL")}
    assert all(error.retry_after_s is not None for error in refusals)


async def test_no_text_of_a_bug_reaches_the_client(photos, monkeypatch):
    from trunkline.backbone.engine import BackboneEngine

    async def bug(self, request, timeout_s):
        raise RuntimeError("secret")

    async with serve(heads=("imagenet",)) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)  # the port may have been another server's a moment ago
        monkeypatch.setattr(BackboneEngine, "extract", bug)
        error = await refused(client, image=photos[0])
        done = await client.analyze(photos[0], ["imagenet"])
    assert (error.code, error.reason, error.message) == ("INTERNAL", "INTERNAL", "internal error")
    assert done.outcomes[0].error.message == "internal error"


async def test_analyze_wants_heads_and_each_only_once(photos):
    async with serve(heads=("imagenet",)) as host, grpc.aio.insecure_channel(host.address) as channel:
        stub = VisionServiceStub(channel)
        image = image_pb2.Image(data=photos[0].read_bytes())
        for names in ([], ["imagenet", "imagenet"]):
            request = pb.AnalyzeRequest(image=image, heads=[pb.HeadRequest(head=name) for name in names])
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Analyze(request)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_required_head_fails_the_call_an_optional_one_its_outcome(form, photos):
    async with form(heads=("imagenet",)) as host, grpc.aio.insecure_channel(host.address) as channel:
        async with AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=30)
        stub = VisionServiceStub(channel)
        image = image_pb2.Image(data=photos[0].read_bytes())
        heads = [pb.HeadRequest(head="imagenet"), pb.HeadRequest(head="nothing")]
        done = await stub.Analyze(pb.AnalyzeRequest(image=image, heads=heads))
        heads[1].required = True
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Analyze(pb.AnalyzeRequest(image=image, heads=heads))
    assert [outcome.WhichOneof("result") for outcome in done.outcomes] == ["classification", "error"]
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_deadline_that_cannot_be_met_ends_the_call(photos):
    async with serve(heads=("imagenet",)) as host, AsyncClient(host.address) as client:
        error = await refused(client, image=photos[0], timeout_s=0.004)
        good = await client.classify(photos[0])
    assert error.code == "DEADLINE_EXCEEDED"
    assert good.result.labels
