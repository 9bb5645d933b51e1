"""A peer that is frozen says nothing at all: its connection is given up, and calls go to another one."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import free_port
from trunkline.serving.channel import open_channel

_METHOD = "/test.Replica/Who"
_SERVER = """
import asyncio, sys, grpc
async def who(request, context):
    return sys.argv[1].encode()
async def serve():
    server = grpc.aio.server(options=[("grpc.http2.min_ping_interval_without_data_ms", 5_000)])
    handlers = {"Who": grpc.unary_unary_rpc_method_handler(who)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Replica", handlers),))
    server.add_insecure_port(sys.argv[1])
    await server.start()
    await server.wait_for_termination()
asyncio.run(serve())
"""
_NOTICED_S = 20.0


@pytest.fixture
def replicas():
    """Address and process of each."""
    made = {}
    for address in (f"127.0.0.1:{free_port()}" for _ in range(2)):
        made[address] = subprocess.Popen([sys.executable, "-c", _SERVER, address])
    yield made
    for process in made.values():
        process.kill()
        process.wait()


@pytest.mark.slow
async def test_a_frozen_replica_is_given_up_within_twenty_seconds(replicas):
    """About every second call is lost until then, and none after it."""
    addresses, processes = list(replicas), list(replicas.values())
    channel = open_channel(f"ipv4:{','.join(addresses)}", 1024 * 1024)
    ask = channel.unary_unary(_METHOD)
    failed_at: list[float] = []

    async def call() -> None:
        due_s = time.monotonic() - frozen_at
        try:
            await ask(b"", timeout=3)
        except Exception:
            failed_at.append(due_s)

    try:
        found: set[bytes] = set()
        async with asyncio.timeout(60):
            while len(found) < 2:
                found.add(await ask(b"", timeout=60, wait_for_ready=True))
        processes[0].send_signal(signal.SIGSTOP)
        frozen_at, calls = time.monotonic(), []
        while time.monotonic() < frozen_at + _NOTICED_S + 8:
            calls.append(asyncio.create_task(call()))
            await asyncio.sleep(0.3)
        await asyncio.gather(*calls)
    finally:
        await channel.close()
    assert failed_at, "nothing was frozen"
    assert max(failed_at) < _NOTICED_S + 2
    assert len(failed_at) < len(calls) / 2
