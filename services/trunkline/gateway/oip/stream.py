"""Many requests of one stream in flight; answers in the order of the requests."""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.core.errors import TrunklineError
from trunkline.gateway.oip.infer import Inference
from trunkline.serving.limits import check_message, short_id
from trunkline.serving.status import to_status

# Further requests stay in the transport, whose flow control then holds the client back.
_IN_FLIGHT = 16
_log = logging.getLogger(__name__)
_Answers = asyncio.Queue["asyncio.Task[pb.ModelStreamInferResponse] | None"]


async def answers(
    requests: AsyncIterable[pb.ModelInferRequest], inference: Inference, context: Any
) -> AsyncIterator[pb.ModelStreamInferResponse]:
    """One for each request; a failed one has its error. All work ends when the stream does."""
    room = asyncio.Semaphore(_IN_FLIGHT)
    queue: _Answers = asyncio.Queue()
    running: set[asyncio.Task[Any]] = set()

    async def read() -> None:
        try:
            async for request in requests:
                await room.acquire()
                task = asyncio.create_task(_answer(request, inference, context))
                running.add(task)
                task.add_done_callback(running.discard)
                queue.put_nowait(task)
        finally:
            queue.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (task := await queue.get()) is not None:
            yield await task
            room.release()
        await reader
    finally:
        for each in (reader, *running):
            each.cancel()


async def _answer(request: pb.ModelInferRequest, inference: Inference, context: Any) -> pb.ModelStreamInferResponse:
    try:
        check_message(request)
        return pb.ModelStreamInferResponse(infer_response=await inference.infer(request, context))
    except Exception as error:  # one failed request costs one answer
        if not isinstance(error, TrunklineError):
            _log.error("bug in ModelStreamInfer", exc_info=error)
        failed = pb.ModelInferResponse(model_name=short_id(request.model_name), id=short_id(request.id))
        return pb.ModelStreamInferResponse(error_message=to_status(error).message, infer_response=failed)
