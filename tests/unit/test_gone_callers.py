"""What is left of a call that ended with an error: nothing in memory, and no bug in the log where its caller went."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from trunkline.core.errors import InvalidRequestError
from trunkline.serving.budget import ByteBudget
from trunkline.serving.interceptors import GuardInterceptor
from trunkline.serving.receiving import Receiver, Rules
from trunkline.serving.security.security import Security
from trunkline.serving.settings import read_settings

MIB = 1024 * 1024


@asynccontextmanager
async def serving(behaviour: Any) -> AsyncIterator[Any]:
    """A server with one method; gives what calls it."""
    receiver = Receiver(ByteBudget(MIB), ByteBudget(MIB))
    guard = GuardInterceptor(receiver, lambda _: Rules(MIB), Security(read_settings()))
    server = grpc.aio.server(interceptors=[guard])
    handlers = {"Refuse": grpc.unary_unary_rpc_method_handler(behaviour)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield channel.unary_unary("/test.Test/Refuse")
    finally:
        await server.stop(1)
        await receiver.close()


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

    with caplog.at_level(logging.WARNING):
        async with serving(refuse) as ask:
            call = ask(b"")
            await asyncio.wait_for(reached.wait(), 10)
            call.cancel()
            await asyncio.wait_for(ended.wait(), 10)
    assert not caplog.records


@pytest.mark.parametrize("raised", ["an error of ours", "an abort"])
async def test_a_request_that_was_refused_is_free_at_once(raised):
    class Picture:
        """Stands in a frame as the bytes of a request do, and can be counted."""

    async def refuse(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        picture = Picture()
        if raised == "an abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, str(picture))
        raise InvalidRequestError(f"no {picture}")

    gc.disable()
    try:
        async with serving(refuse) as ask:
            for _ in range(5):
                with pytest.raises(grpc.aio.AioRpcError):
                    await ask(b"")
            ends_at = asyncio.get_running_loop().time() + 5
            while any(type(each) is Picture for each in gc.get_objects()):
                assert asyncio.get_running_loop().time() < ends_at, "requests are kept"
                await asyncio.sleep(0.05)
    finally:
        gc.enable()
