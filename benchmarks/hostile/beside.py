"""The good callers beside a case, in a process of their own: open loops of calls and of health checks.

python -m benchmarks.hostile.beside FORM HOST:PORT MODELS RATE calls until its standard input ends, and prints JSON.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.hostile.case import HEAD
from benchmarks.pictures import distinct_jpegs
from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2, tensor_pb2
from trunkline.api.inference.v1.head_service_pb2_grpc import HeadServiceStub
from trunkline.api.vision.v1 import image_pb2, vision_service_pb2
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.core.repository import Repository

HEALTH_RATE = 20.0
_DEADLINE_S = 10.0
_MAY_PASS = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
_PAUSE_S = 0.2  # before a call that was refused is tried again
_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500), ("grpc.use_local_subchannel_pool", 1)]  # fmt: skip
_Ask = Callable[[int, float], Awaitable[Any]]  # number of the call and its deadline in seconds


class Loop:
    """Calls at a steady rate, however long each takes. Times count from when a call was meant to leave."""

    def __init__(self, ask: _Ask, rate: float) -> None:
        self._ask, self._rate = ask, rate
        self.seconds: list[float] = []
        self.lost = Counter[str]()
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, over: asyncio.Event) -> None:
        began_at, number = time.monotonic(), 0
        while not over.is_set():
            task = asyncio.create_task(self._one(number, began_at + number / self._rate))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            number += 1
            await asyncio.sleep(max(0.0, began_at + number / self._rate - time.monotonic()))
        await asyncio.gather(*self._running)

    async def _one(self, number: int, meant_at: float) -> None:
        """As a caller does who may wait: what was refused for now is tried again until the deadline."""
        while True:
            left_s = meant_at + _DEADLINE_S - time.monotonic()
            try:
                await self._ask(number, max(0.001, left_s))
            except grpc.aio.AioRpcError as error:
                if error.code() in _MAY_PASS and left_s > _PAUSE_S:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                self.lost[error.code().name] += 1
            self.seconds.append(time.monotonic() - meant_at)
            return


async def _called(form: str, address: str, models: Path, rate: float) -> dict[str, Any]:
    over = asyncio.Event()
    asyncio.get_running_loop().run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: over.set())
    async with (
        grpc.aio.insecure_channel(address, _OPTIONS) as calls,
        grpc.aio.insecure_channel(address, [*_OPTIONS, ("health", 1)]) as checks,
    ):
        stub = health_pb2_grpc.HealthStub(checks)
        good = Loop(_prediction(calls, models) if form == HEAD else _classification(calls), rate)
        health = Loop(lambda _, s: stub.Check(health_pb2.HealthCheckRequest(service="live"), timeout=s), HEALTH_RATE)
        await asyncio.gather(good.run(over), health.run(over))
    return {name: {"seconds": loop.seconds, "lost": loop.lost} for name, loop in (("good", good), ("health", health))}


def _classification(channel: grpc.aio.Channel) -> _Ask:
    stub, pictures = VisionServiceStub(channel), distinct_jpegs(50, seed=1)
    requests = [
        vision_service_pb2.ClassifyRequest(image=image_pb2.Image(data=data), head="imagenet") for data in pictures
    ]
    return lambda number, left_s: stub.Classify(requests[number % len(requests)], timeout=left_s)


def _prediction(channel: grpc.aio.Channel, models: Path) -> _Ask:
    """A question to the head service itself, with the features in it."""
    pooled = np.random.default_rng(1).random((1, 1280), np.float32)
    request = head_service_pb2.PredictRequest(
        head="imagenet",
        features={"pooled": tensor_pb2.Tensor(
            dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=pooled.shape, data=pooled.tobytes()
        )},
        frame=backbone_service_pb2.Frame(
            image_width=500, image_height=375, x_scale=1, y_scale=1, input_width=224, input_height=224
        ),
        backbone_digest=Repository(models).head("imagenet").manifest.backbone.digest,
    )  # fmt: skip
    stub = HeadServiceStub(channel)
    return lambda _, left_s: stub.Predict(request, timeout=left_s)


if __name__ == "__main__":
    asked_form, asked_address, asked_models, asked_rate = sys.argv[1:5]
    found = asyncio.run(_called(asked_form, asked_address, Path(asked_models), float(asked_rate)))
    json.dump(found, sys.stdout)
