"""An open loop (Poisson) beside a closed one: calls begin when they are due, whatever became of those before."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import numpy as np

from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub

_CALLERS = 8


@dataclass
class Offered:
    """What became of the calls of an open loop."""

    seconds: float
    deadline_s: float
    latencies_s: list[float] = field(default_factory=list)  # of answers, from the intended time of sending
    refusals_s: list[float] = field(default_factory=list)  # of RESOURCE_EXHAUSTED, likewise
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def goodput(self) -> float:
        """Answers a second that came in time."""
        return sum(latency <= self.deadline_s for latency in self.latencies_s) / self.seconds

    def latency_s(self, percent: float) -> float:
        return float(np.percentile(self.latencies_s, percent)) if self.latencies_s else float("nan")


class Load:
    """Calls to one service with distinct pictures, raw messages made beforehand: a client that costs little."""

    def __init__(self, channel: grpc.aio.Channel, pictures: list[bytes]) -> None:
        requests = [pb.ClassifyRequest(image=image_pb2.Image(data=data), head="imagenet") for data in pictures]
        self._turn: Iterator[pb.ClassifyRequest] = itertools.cycle(requests)
        self._classify = VisionServiceStub(channel).Classify
        self._rng = random.Random(1)

    async def capacity(self, seconds: float) -> float:
        """Answers a second of a closed loop that keeps the service busy."""
        ends_at = time.perf_counter() + seconds
        counts = await asyncio.gather(*(self._caller(ends_at) for _ in range(_CALLERS)))
        return sum(counts) / (time.perf_counter() - ends_at + seconds)

    async def offer(self, per_second: float, seconds: float, offered: Offered) -> None:
        """An open loop: calls begin when they are due, whatever became of those before."""
        calls = set()
        started_at = due_at = time.perf_counter()
        while (due_at := due_at + self._rng.expovariate(per_second)) < started_at + seconds:
            await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
            calls.add(asyncio.create_task(self._call(due_at, offered)))
        await asyncio.gather(*calls)
        offered.seconds += seconds

    async def _caller(self, ends_at: float) -> int:
        count = 0
        while time.perf_counter() < ends_at:
            await self._classify(next(self._turn), timeout=60)
            count += 1
        return count

    async def _call(self, due_at: float, offered: Offered) -> None:
        left_s = due_at + offered.deadline_s - time.perf_counter()
        try:
            await self._classify(next(self._turn), timeout=max(0.001, left_s))
        except grpc.aio.AioRpcError as error:
            offered.codes[error.code().name] += 1
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                offered.refusals_s.append(time.perf_counter() - due_at)
        else:
            offered.codes["OK"] += 1
            offered.latencies_s.append(time.perf_counter() - due_at)
