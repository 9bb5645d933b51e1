"""BackboneService: convert, call, convert."""

from typing import Any, TypeAlias

import grpc

from trunkline.api.inference.v1 import backbone_service_pb2 as pb
from trunkline.api.inference.v1 import backbone_service_pb2_grpc as pb_grpc
from trunkline.core.exchange import FeatureRequest, FeatureSource
from trunkline.serving import wire

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["BackboneService"].full_name
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class BackboneServicer(pb_grpc.BackboneServiceServicer):
    def __init__(self, backbone: FeatureSource) -> None:
        self._backbone = backbone

    async def ExtractFeatures(
        self, request: pb.ExtractFeaturesRequest, context: Context
    ) -> pb.ExtractFeaturesResponse:
        question = FeatureRequest(
            request.image, wire.spec_from_pb(request.preprocess), tuple(request.features), not request.optional
        )
        found = await self._backbone.extract(question, context.time_remaining())
        return pb.ExtractFeaturesResponse(
            features=wire.tensors_to_pb(found.arrays),
            frame=wire.frame_to_pb(found.frame),
            backbone_digest=found.backbone_digest,
            queue_ms=found.queue_ms,
            decode_ms=found.decode_ms,
            backbone_ms=found.backbone_ms,
            cached=found.cached,
        )

    async def DescribeBackbone(
        self, request: pb.DescribeBackboneRequest, context: Context
    ) -> pb.DescribeBackboneResponse:
        return wire.backbone_to_pb(await self._backbone.describe())
