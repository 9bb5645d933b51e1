"""Calls that no client of ours makes: the others go on, and the caller is told what is wrong."""

import asyncio
import gc
import gzip
import logging
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from tests.service.http2 import ANALYZE_STREAM, CLASSIFY, Http2
from trunkline.api.oip.v2 import inference_service_pb2 as oip
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1 import vision_service_pb2_grpc as pb_grpc
from trunkline.serving.accepting import is_known
from trunkline.serving.memory import give_back_freed
from trunkline.serving.status import error_info
from trunkline.testing import serve

INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 3, 8, 12
MIB = 1024 * 1024
METHODS = {
    "Classify": "unary_unary",
    "Analyze": "unary_unary",
    "ListHeads": "unary_unary",
    "AnalyzeStream": "stream_stream",
}


@pytest.fixture
async def host():
    async with serve(heads=("imagenet",)) as host:
        yield host


@pytest.fixture
async def stub(host):
    async with grpc.aio.insecure_channel(host.address) as channel:
        yield pb_grpc.VisionServiceStub(channel)


async def is_healthy(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def reason_of(error: grpc.aio.AioRpcError) -> str:
    return error_info(rpc_status.from_call(error)).reason


def test_the_grpc_that_is_installed_is_known():
    assert is_known()


@pytest.mark.parametrize("path", [b"/\xff\xfe/Classify", b"/trunkline\xc3", b"no slash", b"/" + b"x" * 5000])
async def test_a_path_that_nobody_serves_costs_nobody_else(host, path):
    def call() -> dict[int, int]:
        with Http2(host.address) as client:
            client.end(client.begin(path))
            client.run(5, until=1)
            return dict(client.statuses)

    assert await asyncio.to_thread(call) == {UNIMPLEMENTED: 1}
    assert await is_healthy(host.address)


async def test_a_compressed_request_is_refused_before_it_is_inflated(host):
    bomb = gzip.compress(bytes(40 * MIB))

    def call() -> dict[int, int]:
        with Http2(host.address) as client:
            for _ in range(10):
                number = client.begin(CLASSIFY, (b"grpc-encoding", b"gzip"))
                client.send(number, bomb, compressed=True)
            client.run(10, until=10)
            return dict(client.statuses)

    assert await asyncio.to_thread(call) == {UNIMPLEMENTED: 10}
    assert await is_healthy(host.address)


@pytest.mark.parametrize("method", METHODS)
async def test_bytes_that_are_no_message_are_an_invalid_argument_and_no_bug(host, method, caplog):
    async with grpc.aio.insecure_channel(host.address) as channel:
        call = getattr(channel, METHODS[method])(f"/trunkline.api.vision.v1.VisionService/{method}")
        sent = b"\x0a\xff\xff\xff\x7f"  # a field longer than the message
        answer = call(sent) if METHODS[method] == "unary_unary" else call(iter([sent])).read()
        with caplog.at_level(logging.WARNING), pytest.raises(grpc.aio.AioRpcError) as refused:
            await answer
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "INVALID_REQUEST"
    assert not caplog.records


async def test_a_call_without_a_message_is_an_invalid_argument(host):
    async with grpc.aio.insecure_channel(host.address) as channel:
        call = channel.stream_unary("/trunkline.api.vision.v1.VisionService/Classify")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(iter([]))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_millions_of_small_fields_are_refused_before_they_are_parsed(host):
    async with grpc.aio.insecure_channel(host.address, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary("/trunkline.api.vision.v1.VisionService/Analyze")
        started_at = time.process_time()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"\x12\x03\x0a\x01x" * 3_000_000)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "fields" in refused.value.details()
    assert time.process_time() - started_at < 2  # of both sides; to parse it alone takes longer than to refuse it


@pytest.mark.parametrize("text", ["x" * 100_000, "漢" * 100_000, "\N{DIGIT ONE}%" * 9000])
async def test_what_a_caller_sent_is_echoed_short(stub, photos, text):
    image = {"data": photos[0].read_bytes()}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Classify(pb.ClassifyRequest(image=image, head=text))
    assert refused.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
    size = sum(len(key) + len(value) for key, value in refused.value.trailing_metadata())
    assert size + 3 * len(refused.value.details().encode()) < 4096


async def test_half_sent_requests_end_when_they_take_too_much_memory():
    """Each declares more than it sends, so that gRPC keeps what came; good calls beside them are answered."""
    async with serve(heads=("imagenet",), request_memory_mib=32) as host:
        gc.collect()
        give_back_freed()  # of tests before: what fits into that is no growth
        await asyncio.sleep(0.3)  # so that it is seen

        def attack() -> dict[int, int]:
            with Http2(host.address) as client:
                for _ in range(12):
                    client.send(client.begin(CLASSIFY), bytes(10 * MIB), declared=11 * MIB)
                client.run(30, until=4)
                return dict(client.statuses)

        attacking = asyncio.create_task(asyncio.to_thread(attack))
        while not attacking.done():
            assert await is_healthy(host.address)
            await asyncio.sleep(0.05)
    found = attacking.result()
    assert set(found) == {RESOURCE_EXHAUSTED}
    assert found[RESOURCE_EXHAUSTED] >= 4


async def test_streams_that_are_open_are_limited(host, monkeypatch):
    monkeypatch.setattr("trunkline.serving.interceptors._MOST_STREAMS", 20)

    def call() -> dict[int, int]:
        with Http2(host.address) as client:
            for _ in range(30):
                client.begin(ANALYZE_STREAM)
            client.run(10, until=10)
            return dict(client.statuses)

    assert await asyncio.to_thread(call) == {RESOURCE_EXHAUSTED: 10}
    assert await is_healthy(host.address)


async def test_requests_that_are_held_are_limited_and_small_ones_go_on(host, stub, photos):
    image = {"data": photos[0].read_bytes()}
    with host.budget.hold(host.budget.limit_bytes):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Classify(pb.ClassifyRequest(image=image))
        assert await is_healthy(host.address)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(refused.value) == "MEMORY"
    assert (await stub.Classify(pb.ClassifyRequest(image=image))).outcome.head == "imagenet"
    assert host.budget.held_bytes == 0


async def test_pictures_of_a_stream_wait_until_there_is_room(host, stub, photos):
    image, heads = {"data": photos[0].read_bytes()}, [{"head": "imagenet"}]
    requests = [pb.AnalyzeStreamRequest(id=name, image=image, heads=heads) for name in "abc"]
    held = host.budget.hold(host.budget.limit_bytes)
    call = stub.AnalyzeStream(iter(requests))
    all_of_them = asyncio.create_task(_answers(call))
    await asyncio.sleep(0.5)
    assert not all_of_them.done()
    held.release()
    answers = await all_of_them
    assert sum(answer.HasField("done") for answer in answers) == 3
    assert host.budget.held_bytes == 0


async def test_answers_that_nobody_reads_are_limited(photos):
    """Features of a pass are 300 KB; who takes none of them gets a few, and small answers go on."""
    async with serve(heads=("imagenet",), request_memory_mib=4) as host:
        photo = photos[0].read_bytes()
        request = oip.ModelInferRequest(
            model_name="efficientnet-lite0",
            inputs=[{"name": "image", "datatype": "BYTES", "shape": [1]}],
            outputs=[{"name": "c2"}],
            raw_input_contents=[len(photo).to_bytes(4, "little") + photo],
        ).SerializeToString()

        def attack() -> dict[int, int]:
            with Http2(host.address, reads=False) as client:
                for _ in range(20):
                    number = client.begin(b"/inference.GRPCInferenceService/ModelInfer")
                    client.send(number, request)
                    client.run(0.2)
                    client.end(number)
                client.run(20, until=10)
                return dict(client.statuses)

        found = await asyncio.to_thread(attack)
        async with grpc.aio.insecure_channel(host.address) as channel:
            stub = pb_grpc.VisionServiceStub(channel)
            assert (await stub.Classify(pb.ClassifyRequest(image={"data": photo}))).outcome.head == "imagenet"
    assert found[RESOURCE_EXHAUSTED] >= 10


async def _answers(call) -> list[pb.AnalyzeStreamResponse]:
    return [answer async for answer in call]
