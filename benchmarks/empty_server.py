"""Servers for `benchmarks.empty_call`: Trunkline whose models cost nothing, and the shortest hand-written servers.

`python -m benchmarks.empty_server trunkline|hand|hand-uvloop|hand-blocking` prints its address and serves until its
input ends.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
import numpy as np

from trunkline.api.vision.v1 import results_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1 import vision_service_pb2_grpc as pb_grpc
from trunkline.backbone.quick import with_answers
from trunkline.core.bundle import FeatureSpec
from trunkline.core.cpu import available_cores
from trunkline.core.exchange import (
    AnswerNow,
    BackboneInfo,
    FeatureRequest,
    Features,
    HeadAnswer,
    HeadInfo,
    HeadQuestion,
)
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import Classification, ScoredLabel
from trunkline.gateway.analyzer import Analyzer
from trunkline.gateway.directory import Directory
from trunkline.gateway.servicer import SERVICE_NAME, VisionServicer
from trunkline.gateway.streams import Streams
from trunkline.serving.host import Host
from trunkline.serving.loop import run_loop
from trunkline.serving.settings import read_settings
from trunkline.serving.workers import Priority, WorkerPool

_kept: list[Any] = []  # a server that nobody holds ends
_LABELS = tuple((index, f"label {index}", 0.5**index) for index in range(1, 6))
_SPEC = PreprocessSpec(crop_share=0.875)
_FRAME = Frame(500, 375, 1.46, 85.9, 1.46, 23.4, 224, 224)
_HEAD = HeadInfo("imagenet", "1", "classification", "d", "net", "d", ("pooled",), _SPEC, "pretrained")


class FreeBackbone:
    """A FeatureSource with the hop to a worker of a real one, and no work but what the request brings along."""

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers
        self._features = Features({"pooled": np.zeros((1, 1280), np.float32)}, _FRAME, "d", 0.0, 0.0, 0.0)

    async def describe(self) -> Sequence[BackboneInfo]:
        return [BackboneInfo("net", "1", "d", (FeatureSpec(name="pooled", channels=1280, stride=0),))]

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        done, queue_ms = await self._workers.run(
            partial(self._pass, request), Priority.BACKBONE, timeout_s, request.required
        )
        return replace(done, queue_ms=queue_ms)

    def _pass(self, request: FeatureRequest) -> Features:
        return with_answers(self._features, request.quick)


class FreeHeads:
    """A HeadRunner whose heads are quick, as the small ones are: they answer on the thread of their pass."""

    arenas: frozenset[str] = frozenset()

    async def describe(self) -> Sequence[HeadInfo]:
        return [_HEAD]

    def quick(self, head: HeadInfo, params: Mapping[str, Any]) -> AnswerNow:
        return lambda features: HeadAnswer(_classification(), "1", 0.0)

    async def predict(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        raise RuntimeError("the pass did not answer for its quick head")

    def is_cheaper_together(self, question: HeadQuestion) -> bool:
        return False


def _classification() -> Classification:
    return Classification(tuple(ScoredLabel(*label) for label in _LABELS))


def _classified() -> pb.ClassifyResponse:
    labels = [results_pb2.ScoredLabel(index=index, label=label, score=score) for index, label, score in _LABELS]
    outcome = pb.HeadOutcome(head="imagenet", classification=results_pb2.Classification(labels=labels))
    return pb.ClassifyResponse(outcome=outcome)


class HandWritten(pb_grpc.VisionServiceServicer):
    """What one writes in an hour: an executor, one hop, an answer."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(available_cores())

    async def Classify(self, request: pb.ClassifyRequest, context: Any) -> pb.ClassifyResponse:  # noqa: N802
        return await asyncio.get_running_loop().run_in_executor(self._pool, _classified)

    async def GetHead(self, request: pb.GetHeadRequest, context: Any) -> pb.GetHeadResponse:  # noqa: N802
        return pb.GetHeadResponse(head=pb.Head(name=request.head, version="1", task="classification"))


async def trunkline() -> str:
    """The host, the servicer and the analyzer of `trunkline serve`, with its settings; returns the address."""
    settings = read_settings(address="127.0.0.1:0")
    workers = WorkerPool(available_cores(), settings.max_queue)
    directory = Directory([FreeBackbone(workers)], [FreeHeads()], ("imagenet",))
    await directory.refresh()
    host = Host(settings)
    analyzer = Analyzer(directory, settings.max_image_bytes)
    streams = Streams(settings.pictures_in_flight, host.budget)
    servicer = VisionServicer(analyzer, directory, streams, settings.request_timeout_s)
    host.add(SERVICE_NAME, lambda server: pb_grpc.add_VisionServiceServicer_to_server(servicer, server))
    await host.start()
    await host.ready("head/imagenet")
    _kept.append(host)
    return host.address


class Blocking(pb_grpc.VisionServiceServicer):
    """The same for gRPC's blocking server: the thread that has the call answers it."""

    def Classify(self, request: pb.ClassifyRequest, context: Any) -> pb.ClassifyResponse:  # noqa: N802
        return _classified()

    def GetHead(self, request: pb.GetHeadRequest, context: Any) -> pb.GetHeadResponse:  # noqa: N802
        return pb.GetHeadResponse(head=pb.Head(name=request.head, version="1", task="classification"))


async def hand() -> str:
    server = grpc.aio.server()
    pb_grpc.add_VisionServiceServicer_to_server(HandWritten(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _kept.append(server)
    return f"127.0.0.1:{port}"


async def blocking() -> str:
    server = grpc.server(ThreadPoolExecutor(available_cores()))
    pb_grpc.add_VisionServiceServicer_to_server(Blocking(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _kept.append(server)
    return f"127.0.0.1:{port}"


FORMS: dict[str, Callable[[], Any]] = {
    "trunkline": trunkline,
    "hand": hand,
    "hand-uvloop": hand,
    "hand-blocking": blocking,
}


async def main(form: str) -> None:
    print(await FORMS[form](), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    form = sys.argv[1]
    (run_loop if form in ("trunkline", "hand-uvloop") else asyncio.run)(main(form))
