"""Replicas behind one name, as a headless Service gives it: new ones get calls, and those that leave lose none."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from trunkline.serving.channel import open_channel
from trunkline.serving.host import Host
from trunkline.testing.serve import local_settings

pytest.importorskip("dnslib", reason="needs the name server of the dev extra: pip install dnslib")

from tests.service.nameserver import name_server

_METHOD = "/test.Replica/Who"


@asynccontextmanager
async def replica(address: str, **settings):
    """A host that answers with its own address."""
    host = Host(local_settings(address=address, **settings))

    async def who(request: bytes, context) -> bytes:
        return host.address.encode()

    handlers = {"Who": grpc.unary_unary_rpc_method_handler(who)}
    host.add("test.Replica", lambda server: server.add_registered_method_handlers("test.Replica", handlers))
    await host.start()
    await host.ready()
    try:
        yield host
    finally:
        await host.drain()


async def one_behind_a_name(stack: AsyncExitStack, **settings):
    """A replica that closes with what is returned first, its port, the names, and a channel to its name."""
    only = await stack.enter_async_context(AsyncExitStack())
    first = await only.enter_async_context(replica("127.0.0.1:0", **settings))
    port = first.address.rpartition(":")[2]
    names = stack.enter_context(name_server({"backbone": ["127.0.0.1"]}))
    target = f"dns://127.0.0.1:{names.port}/backbone.test:{port}"
    return only, port, names, await stack.enter_async_context(open_channel(target, 1024 * 1024))


async def shares(channel: grpc.aio.Channel, count: int) -> Counter[str]:
    """How many of `count` calls each replica answered."""
    ask = channel.unary_unary(_METHOD)
    return Counter([(await ask(b"", timeout=5)).decode().partition(":")[0] for _ in range(count)])


async def until_shared_by(channel: grpc.aio.Channel, replicas: int, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while len(await shares(channel, 6 * replicas)) < replicas:
        assert time.monotonic() < deadline, f"not shared by {replicas} within {within_s} s"
        await asyncio.sleep(0.1)


async def test_calls_are_shared_evenly_and_a_replica_that_is_added_gets_its_part():
    async with AsyncExitStack() as stack:
        _, port, names, channel = await one_behind_a_name(stack, connection_age_s=1.0)
        assert set(await shares(channel, 10)) == {"127.0.0.1"}
        for address in ("127.0.0.2", "127.0.0.3"):
            await stack.enter_async_context(replica(f"{address}:{port}", connection_age_s=1.0))
        names.addresses["backbone"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        await until_shared_by(channel, 3, within_s=10)
        for _ in range(5):  # a connection that is just being made anew gets less
            found = await shares(channel, 300)
            if len(found) == 3 and max(found.values()) / min(found.values()) <= 1.2:
                break
    assert sum(found.values()) == 300
    assert len(found) == 3
    assert max(found.values()) / min(found.values()) <= 1.2, found


async def test_without_an_age_an_added_replica_is_not_seen():
    """What the age is for: addresses are looked up again only when a connection ends."""
    async with AsyncExitStack() as stack:
        _, port, names, channel = await one_behind_a_name(stack)
        await shares(channel, 3)
        await stack.enter_async_context(replica(f"127.0.0.2:{port}"))
        names.addresses["backbone"] = ["127.0.0.1", "127.0.0.2"]
        await asyncio.sleep(3)
        assert set(await shares(channel, 20)) == {"127.0.0.1"}


async def test_replicas_are_replaced_one_by_one_and_no_call_is_lost():
    """As a rolling update does it: the new one is in the name before the old one drains."""
    failed, answered, done = [], Counter(), asyncio.Event()

    async def load(channel: grpc.aio.Channel) -> None:
        ask = channel.unary_unary(_METHOD)
        while not done.is_set():
            try:
                answered[(await ask(b"", timeout=30)).decode().partition(":")[0]] += 1
            except grpc.aio.AioRpcError as error:
                failed.append(error.details())
            await asyncio.sleep(0.002)

    async with AsyncExitStack() as stack:
        olds = [AsyncExitStack() for _ in range(2)]
        first = await olds[0].enter_async_context(replica("127.0.0.1:0", drain_pause_s=1.5))
        port = first.address.rpartition(":")[2]
        await olds[1].enter_async_context(replica(f"127.0.0.2:{port}", drain_pause_s=1.5))
        names = stack.enter_context(name_server({"backbone": ["127.0.0.1", "127.0.0.2"]}))
        target = f"dns://127.0.0.1:{names.port}/backbone.test:{port}"
        channel = await stack.enter_async_context(open_channel(target, 1024 * 1024))
        loads = [asyncio.create_task(load(channel)) for _ in range(4)]
        for number, old in enumerate(olds):
            await stack.enter_async_context(replica(f"127.0.0.{number + 3}:{port}"))
            names.addresses["backbone"] = [*names.addresses["backbone"][1:], f"127.0.0.{number + 3}"]
            await old.aclose()
        await asyncio.sleep(1)
        done.set()
        await asyncio.gather(*loads)
    assert not failed
    assert sum(answered.values()) > 500
    assert min(answered[address] for address in ("127.0.0.3", "127.0.0.4")) > 50, answered


async def test_the_only_replica_that_comes_back_elsewhere_is_found_where_its_name_stayed():
    """What `publishNotReadyAddresses` is for: a name that is gone is asked for ever more rarely."""
    async with AsyncExitStack() as stack:
        only, port, names, channel = await one_behind_a_name(stack)
        await shares(channel, 3)
        await only.aclose()
        names.addresses["backbone"] = ["127.0.0.2"]  # it has an address, and does not listen yet
        ask, away_until = channel.unary_unary(_METHOD), time.monotonic() + 8
        while time.monotonic() < away_until:
            with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                await ask(b"", timeout=5)
            await asyncio.sleep(0.2)
        await stack.enter_async_context(replica(f"127.0.0.2:{port}"))
        back_at = time.monotonic()
        assert (await ask(b"", timeout=5, wait_for_ready=True)).decode() == f"127.0.0.2:{port}"
        assert time.monotonic() - back_at < 10
