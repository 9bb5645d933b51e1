"""Reflection, listing and describing, over real sockets."""

import asyncio

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.service.bundles import repository_with_head
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import AsyncClient, ServiceError
from trunkline.core.repository import Repository
from trunkline.testing import serve


def test_a_client_without_our_stubs_finds_the_contract_by_reflection(target):
    with grpc.insecure_channel(target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        described = DescriptorPool(database).FindServiceByName("trunkline.api.vision.v1.VisionService")
    assert {"trunkline.api.vision.v1.VisionService", "grpc.health.v1.Health"} <= services
    assert {
        "Classify",
        "Regress",
        "Detect",
        "Segment",
        "Embed",
        "Anomaly",
        "Keypoints",
        "Compare",
        "Explain",
        "Analyze",
        "AnalyzeStream",
        "ListHeads",
        "GetHead",
    } == {method.name for method in described.methods}


async def test_a_head_is_described_as_its_manifest_says(models, photos):
    manifest = Repository(models).head("imagenet").manifest
    async with serve(heads=("imagenet",)) as host, AsyncClient(host.address) as client:
        head = await client.get_head("imagenet")
        with pytest.raises(ServiceError) as caught:
            await client.get_head("nothing")
    assert (head.name, head.version, head.task, head.mode) == (
        "imagenet",
        str(manifest.version),
        "classification",
        "pretrained",
    )
    assert head.digest == manifest.digest
    assert head.backbone_digest == manifest.backbone.digest
    assert len(head.labels) == 1000
    assert caught.value.code == "NOT_FOUND"


async def test_heads_are_listed_in_pages(models, tmp_path):
    repository = repository_with_head(models, tmp_path, "zebra")
    async with serve(models=repository) as host, grpc.aio.insecure_channel(host.address) as channel:
        stub = VisionServiceStub(channel)
        first = await stub.ListHeads(pb.ListHeadsRequest(page_size=1))
        second = await stub.ListHeads(pb.ListHeadsRequest(page_size=1, page_token=first.next_page_token))
        none = await stub.ListHeads(pb.ListHeadsRequest(task="detection"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListHeads(pb.ListHeadsRequest(page_size=-1))
    assert [head.name for page in (first, second) for head in page.heads] == ["imagenet", "zebra"]
    assert second.next_page_token == ""
    assert not none.heads
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_methods_cost_nothing_to_those_who_call_others():
    """Each method has a task that takes its calls; a call of one wakes none of the others."""
    async with serve(heads=("imagenet",)) as host, grpc.aio.insecure_channel(host.address) as channel:
        stub = VisionServiceStub(channel)
        before = _accepting()
        for _ in range(5):
            await stub.ListHeads(pb.ListHeadsRequest())
        assert _accepting() == before
        assert len(before) > 10


def _accepting() -> set[asyncio.Task]:
    return {task for task in asyncio.all_tasks() if "_request_" in task.get_coro().__qualname__}
