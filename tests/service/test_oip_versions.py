"""Versions of heads as models of the Open Inference Protocol: by number, alias and canary, and while they change."""

import asyncio

import grpc
import numpy as np
import pytest

from tests.service.bundles import linked_repository, repository_with_head
from tests.service.versions import write_version
from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.api.oip.v2.inference_service_pb2_grpc import GRPCInferenceServiceStub
from trunkline.client import AsyncClient
from trunkline.core.catalog import change_catalog
from trunkline.core.models import Canary, HeadCatalog
from trunkline.testing import serve, serve_split

QUICK = {"catalog_poll_s": 0.05, "refresh_s": 0.05}


@pytest.fixture(params=[serve, serve_split])
def form(request):
    return request.param


@pytest.fixture
def store(models, tmp_path):
    """A repository in which the head `dots` has versions 1, on pooled, and 2, on pixels."""
    made = linked_repository(models, tmp_path)
    for version in (1, 2):
        write_version(made, "dots", version)
    return made


def pictures(photos, count: int, model: str = "dots", version: str = "") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, model_version=version)
    contents = pb.InferTensorContents(bytes_contents=[photos[place % 2].read_bytes() for place in range(count)])
    request.inputs.add(name="image", datatype="BYTES", shape=[count, 1], contents=contents)
    request.outputs.add(name="labels")
    return request


def pooled() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="dots")
    request.inputs.add(name="pooled", datatype="FP32", shape=[1, 1280])
    request.raw_input_contents.append(np.ones(1280, np.float32).tobytes())
    return request


def versions_in(answer: pb.ModelInferResponse) -> set[str]:
    """Versions that the labels name: each has labels of its own."""
    return {label.decode()[1] for label in answer.outputs[0].contents.bytes_contents}


async def test_a_batch_is_answered_by_one_version_and_tensors_by_the_default(form, store, photos):
    state = HeadCatalog(default=1, aliases={"stable": 1}, canary=Canary(version=2, share=0.5))
    change_catalog(store, "dots", lambda _: state)
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        async with grpc.aio.insecure_channel(host.address) as channel:
            stub = GRPCInferenceServiceStub(channel)
            drawn = [await stub.ModelInfer(pictures(photos, 4)) for _ in range(30)]
            given = [await stub.ModelInfer(pooled()) for _ in range(10)]
            named = [
                await stub.ModelInfer(pictures(photos, 1, *asked))
                for asked in (("dots", "2"), ("dots@stable", ""), ("dots/2", ""))
            ]
            index = await stub.RepositoryIndex(pb.RepositoryIndexRequest())
            metadata = await stub.ModelMetadata(pb.ModelMetadataRequest(name="dots", version="2"))
    assert {answer.model_version for answer in drawn} == {"1", "2"}  # missing one has a chance of 1 in 2^29
    assert all(versions_in(answer) == {answer.model_version} for answer in drawn)
    assert {answer.model_version for answer in given} == {"1"}
    assert [answer.model_version for answer in named] == ["2", "1", "2"]
    assert [each.version for each in index.models if each.name == "dots"] == ["1", "2"]
    assert list(metadata.versions) == ["1", "2"]
    assert [(each.name, list(each.shape)) for each in metadata.inputs][1] == ("pixels", [-1, 64, 64, 3])


async def test_a_head_that_cannot_answer_is_unavailable_and_says_why(form, models, tmp_path, photos):
    store = repository_with_head(models, tmp_path, "spoilt", spoil_golden=True)
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        async with grpc.aio.insecure_channel(host.address) as channel:
            stub = GRPCInferenceServiceStub(channel)
            index = await stub.RepositoryIndex(pb.RepositoryIndexRequest())
            ready = await stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))
            state = await stub.ModelReady(pb.ModelReadyRequest(name="spoilt"))
            refused = []
            for call in (
                stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="spoilt")),
                stub.ModelInfer(pictures(photos, 1, "spoilt")),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                refused.append(caught.value)
    (found,) = [each for each in index.models if each.name == "spoilt"]
    assert (found.state, "golden" in found.reason) == ("UNAVAILABLE", True)
    assert "spoilt" not in [each.name for each in ready.models]
    assert state.ready is False
    assert {error.code().name for error in refused} == {"FAILED_PRECONDITION"}


async def test_no_batch_is_lost_while_versions_change(form, store, photos):
    change_catalog(store, "dots", lambda _: HeadCatalog(default=1))
    answers = []
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        async with grpc.aio.insecure_channel(host.address) as channel:
            stub = GRPCInferenceServiceStub(channel)
            done = asyncio.Event()

            async def ask() -> None:
                while not done.is_set():
                    answers.append(await stub.ModelInfer(pictures(photos, 6), timeout=60))

            asking = [asyncio.create_task(ask()) for _ in range(2)]
            for round_ in range(10):
                version = 2 - round_ % 2
                change_catalog(store, "dots", lambda state, version=version: state.promoted(version))
                await asyncio.sleep(0.4)
            done.set()
            await asyncio.gather(*asking)
    assert {answer.model_version for answer in answers} == {"1", "2"}
    assert all(versions_in(answer) == {answer.model_version} for answer in answers)


async def test_a_stream_that_is_left_costs_no_other_work(form, store, photos):
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        async with grpc.aio.insecure_channel(host.address) as channel:
            stub = GRPCInferenceServiceStub(channel)
            sent = 0

            async def endless():
                nonlocal sent
                while True:
                    sent += 1
                    yield pictures(photos, 8)

            stream = stub.ModelStreamInfer(endless())
            first = await anext(aiter(stream))
            stream.cancel()
            assert not first.error_message
            assert sent < 2000, "flow control holds the sender back"
            assert (await stub.ModelInfer(pictures(photos, 2), timeout=60)).model_version
            before = await counted(stub)
            await asyncio.sleep(1)
            assert await counted(stub) - before <= 16, "what was left is not worked on"


async def counted(stub) -> int:
    found = await stub.ModelStatistics(pb.ModelStatisticsRequest(name="dots"))
    return sum(each.inference_count for each in found.model_stats)
