"""Replicas that are replaced while DNS gives answers from before: no call is lost where new ones are waited for.

As in a rollout of the chart, with times a tenth of those: new pods are ready at once, and CoreDNS keeps answers.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest

from trunkline.serving.channel import open_channel

pytest.importorskip("dnslib", reason="needs the name server of the dev extra: pip install dnslib")

from tests.service.nameserver import Names, name_server
from tests.service.test_replicas import replica

KEPT_S = 3.0
MIN_READY_S = 3.5
PRE_STOP_S, PAUSE_S = 0.8, 0.2
_METHOD = "/test.Replica/Who"


@dataclass
class Calls:
    answered: int = 0
    failed: list[str] = field(default_factory=list)


@asynccontextmanager
async def load(channel: grpc.aio.Channel) -> AsyncIterator[Calls]:
    """Four callers, each with one call after the other."""
    calls, done = Calls(), asyncio.Event()

    async def caller() -> None:
        ask = channel.unary_unary(_METHOD)
        while not done.is_set():
            try:
                await ask(b"", timeout=30)
                calls.answered += 1
            except grpc.aio.AioRpcError as error:
                calls.failed.append(f"{error.code().name}: {error.details()}")
            await asyncio.sleep(0.005)

    callers = [asyncio.create_task(caller()) for _ in range(4)]
    yield calls
    done.set()
    await asyncio.gather(*callers)


async def replace(
    names: Names, olds: list[AsyncExitStack], port: str, stack: AsyncExitStack, min_ready_s: float, pre_stop_s: float
) -> None:
    """As a Deployment does it that adds one and takes one away: an old one goes once a new one is available."""

    async def end(old: AsyncExitStack) -> None:
        await asyncio.sleep(pre_stop_s)
        await old.aclose()

    ends = []
    for number, old in enumerate(olds):
        address = f"127.0.0.{len(olds) + 1 + number}"
        await stack.enter_async_context(replica(f"{address}:{port}"))
        names.addresses["backbone"].append(address)
        await asyncio.sleep(min_ready_s)
        names.addresses["backbone"].pop(0)
        ends.append(asyncio.create_task(end(old)))
    await asyncio.gather(*ends)


async def rolled_out(replicas: int, min_ready_s: float, pre_stop_s: float = PRE_STOP_S) -> Calls:
    """Calls while all replicas are replaced, from the moment on at which an answer was kept."""
    async with AsyncExitStack() as stack:
        olds = [AsyncExitStack() for _ in range(replicas)]
        port = "0"
        for number, old in enumerate(olds):
            host = await old.enter_async_context(replica(f"127.0.0.{number + 1}:{port}", drain_pause_s=PAUSE_S))
            port = host.address.rpartition(":")[2]
        names = stack.enter_context(
            name_server({"backbone": [f"127.0.0.{number + 1}" for number in range(replicas)]}, KEPT_S)
        )
        target = f"dns://127.0.0.1:{names.port}/backbone.test:{port}"
        channel = await stack.enter_async_context(open_channel(target, 1024 * 1024))
        async with load(channel) as calls:
            await asyncio.sleep(0.5)
            names.refresh("backbone")
            await replace(names, olds, port, stack, min_ready_s, pre_stop_s)
            await asyncio.sleep(KEPT_S)
    return calls


@pytest.mark.parametrize("replicas", [1, 2])
async def test_no_call_is_lost_where_new_replicas_are_waited_for_until_no_kept_answer_is_without_them(replicas):
    calls = await rolled_out(replicas, MIN_READY_S)
    assert calls.failed == []
    assert calls.answered > 500


async def test_evictions_wait_for_nothing_and_lose_no_call_where_old_replicas_answer_as_long_as_dns_keeps_them():
    """`drain.preStop` as long as that, for nodes that are drained one after the other."""
    calls = await rolled_out(2, 0.1, pre_stop_s=MIN_READY_S)
    assert calls.failed == []
    assert calls.answered > 500


@pytest.mark.parametrize("replicas", [1, 2])
async def test_without_waiting_calls_are_lost_while_the_answer_names_only_old_replicas(replicas):
    """What `minReadySeconds` is for. A client can do nothing about it: nobody tells it of the new ones."""
    calls = await rolled_out(replicas, 0.1)
    assert calls.failed
    assert all(text.startswith("UNAVAILABLE") for text in calls.failed), set(calls.failed)
    assert calls.answered > 100
