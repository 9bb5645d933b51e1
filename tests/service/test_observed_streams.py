"""Calls of every kind are seen: one request or many, one answer or many."""

import grpc
import pytest

from tests.service.scrape import settled
from trunkline.serving.host import Host
from trunkline.serving.telemetry.call import current_call
from trunkline.testing.serve import local_settings

REQUEST_ID = (("x-request-id", "streamed"),)


async def one_one(request, context):
    assert current_call().request_id == "streamed"
    return request * 2


async def one_many(request, context):
    current_call().passes = 3
    for _ in range(3):
        yield request


async def many_one(requests, context):
    return b"".join([request async for request in requests])


async def many_many(requests, context):
    async for request in requests:
        assert current_call().request_id == "streamed"
        yield request
        if request == b"end":
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


HANDLERS = {
    "OneOne": grpc.unary_unary_rpc_method_handler(one_one),
    "OneMany": grpc.unary_stream_rpc_method_handler(one_many),
    "ManyOne": grpc.stream_unary_rpc_method_handler(many_one),
    "ManyMany": grpc.stream_stream_rpc_method_handler(many_many),
}


@pytest.fixture
async def host():
    host = Host(local_settings(metrics_address="127.0.0.1:0", access_log=True))
    host.add("kinds", lambda server: server.add_registered_method_handlers("kinds", HANDLERS))
    await host.start()
    yield host
    await host.drain()


async def test_every_kind_of_call_is_counted_with_its_bytes_and_its_end(host):
    async with grpc.aio.insecure_channel(host.address) as channel:
        four, end = [b"four"], [b"four", b"end"]
        assert await channel.unary_unary("/kinds/OneOne")(b"four", metadata=REQUEST_ID) == b"fourfour"
        stream = channel.unary_stream("/kinds/OneMany")(b"four", metadata=REQUEST_ID)
        assert [message async for message in stream] == four * 3
        assert await channel.stream_unary("/kinds/ManyOne")(iter(end), metadata=REQUEST_ID) == b"fourend"
        both = channel.stream_stream("/kinds/ManyMany")(iter(end), metadata=REQUEST_ID)
        with pytest.raises(grpc.aio.AioRpcError, match="enough"):
            assert [message async for message in both]
        assert dict(await both.trailing_metadata())["x-request-id"] == "streamed"
    found = await settled(host.telemetry.address)
    seen = {
        kind: tuple(
            found.value(f"grpc_server_call_{way}_total_compressed_message_size_bytes_sum", **labels)
            for way in ("rcvd", "sent")
        )
        for kind, status in zip(HANDLERS, ["OK", "OK", "OK", "RESOURCE_EXHAUSTED"], strict=True)
        if (labels := {"grpc_method": f"kinds/{kind}", "grpc_status": status})
        and found.value("grpc_server_call_duration_seconds_count", **labels) == 1
    }
    assert seen == {"OneOne": (4, 8), "OneMany": (4, 12), "ManyOne": (7, 7), "ManyMany": (7, 7)}
    assert found.value("trunkline_passes_per_request_count") == 0
