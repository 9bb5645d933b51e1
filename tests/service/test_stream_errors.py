"""Errors of calls that answer with a stream: the same codes and reasons as elsewhere, before and after an answer."""

from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_status import rpc_status

from trunkline.api.training.v1 import training_service_pb2 as pb
from trunkline.api.training.v1 import training_service_pb2_grpc as pb_grpc
from trunkline.core.errors import NotFoundError
from trunkline.serving.host import Host
from trunkline.serving.status import error_info
from trunkline.testing.serve import local_settings


class Faulty(pb_grpc.TrainingServiceServicer):
    """Answers once, then fails as it is asked to."""

    async def WatchTrainingJob(self, request, context) -> AsyncIterator[pb.WatchTrainingJobResponse]:  # noqa: N802
        if request.job == "none":
            raise NotFoundError("there is no such job", job="none")
        yield pb.WatchTrainingJobResponse(sequence=1)
        if request.job == "bug":
            raise RuntimeError("secret")


@pytest.fixture
async def address():
    host = Host(local_settings())
    host.add("faulty", lambda server: pb_grpc.add_TrainingServiceServicer_to_server(Faulty(), server))
    await host.start()
    yield host.address
    await host.drain()


async def watch(address: str, job: str) -> list[int]:
    async with grpc.aio.insecure_channel(address) as channel:
        stream = pb_grpc.TrainingServiceStub(channel).WatchTrainingJob(pb.WatchTrainingJobRequest(job=job))
        return [message.sequence async for message in stream]


@pytest.mark.parametrize(
    ("job", "code", "reason", "message"),
    [
        ("none", grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "there is no such job"),
        ("bug", grpc.StatusCode.INTERNAL, "INTERNAL", "internal error"),
    ],
)
async def test_a_stream_ends_with_its_error_and_no_text_of_a_bug(address, job, code, reason, message):
    with pytest.raises(grpc.RpcError) as caught:
        await watch(address, job)
    info = error_info(rpc_status.from_call(caught.value))
    assert (caught.value.code(), caught.value.details()) == (code, message)
    assert (info.reason, info.domain) == (reason, "trunkline")


async def test_a_stream_without_an_error_is_left_as_it_is(address):
    assert await watch(address, "well") == [1]
