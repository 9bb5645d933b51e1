"""A real gRPC server whose answers cost nothing, or a known time: what a load generator is measured against.

`python -m benchmarks.known_server [--places N --takes-ms T] [--fail-every N --code NAME] [--arrivals FILE]` prints
its address and serves until its input ends. It answers every method of VisionService with an empty message: at once,
or as a queue does, first come, first served by N places that take T ms each. FILE gets the seconds of each arrival.
"""

import argparse
import asyncio
import heapq
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, NamedTuple

import grpc
import psutil
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

ROOT = Path(__file__).parents[1]
_SERVICE = "/trunkline.api.vision.v1.VisionService/"
_GET_HEAD = f"{_SERVICE}GetHead"


class Known(grpc.GenericRpcHandler):
    """Answers after the time of a queue; every so manyth call fails."""

    def __init__(self, places: int, takes_s: float, fail_every: int, code: grpc.StatusCode) -> None:
        self._free_at = [0.0] * places
        self._takes_s = takes_s
        self._fails = itertools.cycle([*[False] * (fail_every - 1), True]) if fail_every else itertools.repeat(False)
        self._code = code
        self.arrivals_s: list[float] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        if not handler_call_details.method.startswith(_SERVICE):
            return None
        asked = handler_call_details.method == _GET_HEAD
        return grpc.unary_unary_rpc_method_handler(self._no_heads if asked else self._answer)  # type: ignore[arg-type]

    async def _no_heads(self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED, "there are no heads")

    async def _answer(self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        now_s = time.perf_counter()
        self.arrivals_s.append(now_s)
        if next(self._fails):
            await context.abort(self._code, "it was asked to fail")
        if self._takes_s:
            done_at = max(now_s, heapq.heappop(self._free_at)) + self._takes_s
            heapq.heappush(self._free_at, done_at)
            await asyncio.sleep(done_at - time.perf_counter())
        return b""


async def serve(known: Known) -> None:
    """Print the address, and serve until the input ends."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((known,))
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


class Running(NamedTuple):
    """One in a process of its own."""

    address: str
    process: psutil.Process


@contextmanager
def known_server(*arguments: str) -> Iterator[Running]:
    """Started, and stopped at the end."""
    command = [sys.executable, "-m", "benchmarks.known_server", *arguments]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Running(process.stdout.readline().strip(), psutil.Process(process.pid))
        finally:
            process.stdin.close()
            process.wait(timeout=20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=1)
    parser.add_argument("--takes-ms", type=float, default=0.0)
    parser.add_argument("--fail-every", type=int, default=0)
    parser.add_argument("--code", default="UNAVAILABLE")
    parser.add_argument("--arrivals", type=Path)
    options = parser.parse_args()
    code = grpc.StatusCode[options.code]
    known = Known(options.places, options.takes_ms / 1000, options.fail_every, code)
    asyncio.run(serve(known))
    if options.arrivals is not None:
        options.arrivals.write_text("\n".join(map(repr, known.arrivals_s)))


if __name__ == "__main__":
    main()
