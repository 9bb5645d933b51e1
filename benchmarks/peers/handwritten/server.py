"""What a good engineer writes in an afternoon: grpc.aio, a thread for each core, ONNX Runtime.

Command: python -m benchmarks.peers.handwritten.server PORT MODEL_FOLDER…   (a model is called as its folder)
"""

import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import handwritten_pb2 as pb  # made by benchmarks/protos.py
import handwritten_pb2_grpc as pb_grpc
import numpy as np
from PIL import UnidentifiedImageError

from benchmarks.peers.model import FullModel

SIDE = 224
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class Vision(pb_grpc.VisionServicer):
    def __init__(self, models: dict[str, FullModel], pool: ThreadPoolExecutor) -> None:
        self._models, self._pool = models, pool

    async def Classify(  # noqa: N802 - named by the contract
        self, request: pb.ClassifyRequest, context: grpc.aio.ServicerContext
    ) -> pb.ClassifyResponse:
        model = self._models.get(request.model)
        if model is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model!r}")
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, self._classify, model, request)
        except (UnidentifiedImageError, OSError, ValueError):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a picture that can be read")
        return pb.ClassifyResponse(labels=[pb.Label(name=name, score=score) for name, score in found])

    @staticmethod
    def _classify(model: FullModel, request: pb.ClassifyRequest) -> list[tuple[str, float]]:
        if request.WhichOneof("input") == "jpeg":
            return model.classify_jpeg(request.jpeg)
        return model.classify_pixels(np.frombuffer(request.pixels, np.uint8).reshape(1, SIDE, SIDE, 3))


async def serve(port: int, folders: list[Path]) -> None:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        size = ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)
        server = grpc.aio.server(options=[size, ("grpc.so_reuseport", 0)])
        pb_grpc.add_VisionServicer_to_server(Vision({each.name: FullModel(each) for each in folders}, pool), server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        await server.stop(5)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), [Path(each) for each in sys.argv[2:]]))
