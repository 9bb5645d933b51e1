"""A server that stops while calls wait to be begun: those go to another replica."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import pytest

from trunkline.serving.channel import open_channel

CALLERS = 20


class Quick(grpc.GenericRpcHandler):
    def service(self, details):
        async def answer(request, context):
            return b"done"

        return grpc.unary_unary_rpc_method_handler(answer)


@dataclass
class Replica:
    """A server with an event loop in a thread of its own, that ends by itself."""

    address: str
    busy_s: float
    port: int = 0
    ready: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((Quick(),))
        self.port = server.add_insecure_port(self.address)
        await server.start()
        self.ready.set()
        await asyncio.to_thread(self.may_end.wait, 30)
        time.sleep(self.busy_s)  # noqa: ASYNC251 - calls arrive meanwhile, and none of them is begun
        await server.stop(5)


@contextmanager
def running(address: str, busy_s: float) -> Iterator[Replica]:
    replica = Replica(address, busy_s)
    thread = threading.Thread(target=replica.run)
    thread.start()
    assert replica.ready.wait(10)
    try:
        yield replica
    finally:
        replica.may_end.set()
        thread.join(20)


# gRPC's own limit for what it sends a second time is 256 KiB; the server of this test takes 4 MiB.
@pytest.mark.parametrize("size", [0, 1_000_000])
async def test_calls_that_a_stopping_server_never_began_are_answered_by_another(size):
    outcomes: Counter[str] = Counter()
    with running("127.0.0.1:0", busy_s=0.5) as first, running(f"127.0.0.2:{first.port}", busy_s=0) as second:
        target = f"ipv4:127.0.0.1:{first.port},127.0.0.2:{second.port}"
        async with open_channel(target, 4 * 1024 * 1024) as channel:
            ask, ends_at = channel.unary_unary("/any.Service/Method"), time.monotonic() + 2.5

            async def caller() -> None:
                while time.monotonic() < ends_at:
                    try:
                        await ask(bytes(size), timeout=10)
                        outcomes["OK"] += 1
                    except grpc.aio.AioRpcError as error:
                        outcomes[error.code().name] += 1
                    await asyncio.sleep(0.005)

            callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
            await asyncio.sleep(0.5)
            first.may_end.set()
            await asyncio.gather(*callers)
    assert outcomes.keys() == {"OK"}, outcomes
    assert outcomes["OK"] > 10 * CALLERS
