"""A servicer that ends a call whose caller has gone meanwhile is no bug, and the log has none."""

import asyncio
import logging

import grpc

from trunkline.serving.budget import ByteBudget
from trunkline.serving.interceptors import GuardInterceptor
from trunkline.serving.receiving import Receiver, Rules

MIB = 1024 * 1024


async def test_an_end_that_comes_after_the_caller_went_is_no_bug(caplog):
    reached, ended = asyncio.Event(), asyncio.Event()

    async def refuse(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        reached.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
        try:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        finally:
            ended.set()

    receiver = Receiver(ByteBudget(MIB), ByteBudget(MIB))
    server = grpc.aio.server(interceptors=[GuardInterceptor(receiver, lambda _: Rules(MIB))])
    handlers = {"Refuse": grpc.unary_unary_rpc_method_handler(refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    with caplog.at_level(logging.WARNING):
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary("/test.Test/Refuse")(b"")
            await asyncio.wait_for(reached.wait(), 10)
            call.cancel()
            await asyncio.wait_for(ended.wait(), 10)
        await server.stop(1)
    await receiver.close()
    assert not caplog.records
