"""VisionService: convert, call, convert."""

from typing import Any, TypeAlias

import grpc

from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1 import vision_service_pb2_grpc as pb_grpc
from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.analyzer import Analysis, Analyzer, Ask, Outcome
from trunkline.gateway.directory import Directory
from trunkline.serving import wire
from trunkline.serving.pages import page
from trunkline.serving.status import to_head_error

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["VisionService"].full_name
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class VisionServicer(pb_grpc.VisionServiceServicer):
    def __init__(self, analyzer: Analyzer, directory: Directory, default_timeout_s: float) -> None:
        self._analyzer = analyzer
        self._directory = directory
        self._default_timeout_s = default_timeout_s

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        params = {"top_k": request.top_k} if request.HasField("top_k") else {}
        done = await self._analyzer.ask_one(
            request.image.data, "classification", request.head, params, self._timeout_s(context)
        )
        return pb.ClassifyResponse(
            outcome=_outcome_to_pb(done.outcomes[0]),
            image_size=_size_to_pb(done),
            timings=_timings_to_pb(done),
        )

    async def Regress(self, request: pb.RegressRequest, context: Context) -> pb.RegressResponse:
        done = await self._analyzer.ask_one(
            request.image.data, "regression", request.head, {}, self._timeout_s(context)
        )
        return pb.RegressResponse(
            outcome=_outcome_to_pb(done.outcomes[0]),
            image_size=_size_to_pb(done),
            timings=_timings_to_pb(done),
        )

    async def Analyze(self, request: pb.AnalyzeRequest, context: Context) -> pb.AnalyzeResponse:
        asks = [Ask(ask.head, wire.params_from_pb(ask.params), ask.required) for ask in request.heads]
        done = await self._analyzer.analyze(request.image.data, asks, self._timeout_s(context))
        return pb.AnalyzeResponse(
            outcomes=map(_outcome_to_pb, done.outcomes),
            image_size=_size_to_pb(done),
            timings=_timings_to_pb(done),
            backbone_passes=done.passes,
        )

    async def ListHeads(self, request: pb.ListHeadsRequest, context: Context) -> pb.ListHeadsResponse:
        heads = [head for head in self._directory.heads() if request.task in ("", head.task)]
        part, token = page(heads, lambda head: head.name, request.page_size, request.page_token)
        return pb.ListHeadsResponse(heads=map(wire.head_to_pb, part), next_page_token=token)

    async def GetHead(self, request: pb.GetHeadRequest, context: Context) -> pb.GetHeadResponse:
        if not request.head:
            raise InvalidRequestError("name a head; ListHeads says which there are")
        return pb.GetHeadResponse(head=wire.head_to_pb(self._directory.find(request.head).info))

    def _timeout_s(self, context: Context) -> float:
        left_s = context.time_remaining()
        return self._default_timeout_s if left_s is None else left_s


def _outcome_to_pb(outcome: Outcome) -> pb.HeadOutcome:
    message = pb.HeadOutcome(head=outcome.head, model_version=outcome.version)
    if outcome.answer is not None:
        message.head_ms = outcome.answer.head_ms
        wire.put_result(message, outcome.answer.result)
    elif outcome.error is not None:
        message.error.CopyFrom(to_head_error(outcome.error))
    return message


def _size_to_pb(done: Analysis) -> image_pb2.ImageSize | None:
    if done.image_size is None:
        return None
    width, height = done.image_size
    return image_pb2.ImageSize(width=width, height=height)


def _timings_to_pb(done: Analysis) -> pb.Timings:
    return pb.Timings(
        queue_ms=done.queue_ms,
        decode_ms=done.decode_ms,
        backbone_ms=done.backbone_ms,
        head_ms=done.head_ms,
        total_ms=done.total_ms,
    )
