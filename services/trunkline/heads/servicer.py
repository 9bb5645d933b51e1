"""HeadService: convert, call, convert."""

from typing import Any, TypeAlias

import grpc

from trunkline.api.inference.v1 import head_service_pb2 as pb
from trunkline.api.inference.v1 import head_service_pb2_grpc as pb_grpc
from trunkline.api.vision.v1 import vision_service_pb2
from trunkline.core.exchange import HeadQuestion, HeadRunner
from trunkline.serving import wire, wire_results
from trunkline.serving.shared.reader import ArenaReader
from trunkline.serving.shared.tensors import unchanged

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["HeadService"].full_name
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class HeadServicer(pb_grpc.HeadServiceServicer):
    def __init__(self, heads: HeadRunner, reader: ArenaReader | None = None) -> None:
        """reader: of features that a backbone service of this machine shares."""
        self._heads = heads
        self._reader = reader

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        question = HeadQuestion(
            head=request.head,
            features=wire.tensors_from_pb(request.features, self._reader),
            frame=wire.frame_from_pb(request.frame),
            backbone_digest=request.backbone_digest,
            params=wire.params_from_pb(request.params),
            version=request.version,
            required=not request.optional,
        )
        with unchanged(request.features.values(), self._reader):
            answer = await self._heads.predict(question, context.time_remaining())
        outcome = vision_service_pb2.HeadOutcome(
            head=request.head, model_version=answer.version, head_ms=answer.head_ms, queue_ms=answer.queue_ms
        )
        wire_results.put_result(outcome, answer.result)
        return pb.PredictResponse(outcome=outcome)

    async def DescribeHeads(self, request: pb.DescribeHeadsRequest, context: Context) -> pb.DescribeHeadsResponse:
        heads = map(wire.served_head_to_pb, await self._heads.describe())
        return pb.DescribeHeadsResponse(heads=heads, arenas=self._reader.ids() if self._reader is not None else ())
