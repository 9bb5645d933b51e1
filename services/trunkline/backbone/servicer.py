"""BackboneService: convert, call, convert."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

import grpc

from trunkline.api.inference.v1 import backbone_service_pb2 as pb
from trunkline.api.inference.v1 import backbone_service_pb2_grpc as pb_grpc
from trunkline.api.inference.v1 import tensor_pb2
from trunkline.core.exchange import FeatureRequest, Features, FeatureSource, local_arrays
from trunkline.serving import wire
from trunkline.serving.shared.tensors import share
from trunkline.serving.shared.writer import Arena

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["BackboneService"].full_name
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
# A request takes until its deadline at most, and then a little to be told of it.
_MARGIN_S, _NO_DEADLINE_S = 5.0, 60.0


class BackboneServicer(pb_grpc.BackboneServiceServicer):
    def __init__(self, backbones: FeatureSource, arena: Arena | None = None) -> None:
        """arena: where features are shared, with those who can read it."""
        self._backbones = backbones
        self._arena = arena

    async def ExtractFeatures(
        self, request: pb.ExtractFeaturesRequest, context: Context
    ) -> pb.ExtractFeaturesResponse:
        self._release(request.released)
        question = FeatureRequest(
            request.image,
            wire.spec_from_pb(request.preprocess),
            tuple(dict.fromkeys(request.features)),
            not request.optional,
            backbone_digest=request.backbone_digest or await self._first(),
            mask=wire.mask_from_pb(request.mask) if request.HasField("mask") else None,
        )
        found = await self._backbones.extract(question, context.time_remaining())
        return pb.ExtractFeaturesResponse(
            features=self._tensors(found, request.arenas, context),
            frame=wire.frame_to_pb(found.frame),
            backbone_digest=found.backbone_digest,
            queue_ms=found.queue_ms,
            decode_ms=found.decode_ms,
            backbone_ms=found.backbone_ms,
            cached=found.cached,
        )

    def _tensors(self, found: Features, arenas: Collection[str], context: Context) -> Mapping[str, tensor_pb2.Tensor]:
        arrays = local_arrays(found.arrays)
        if self._arena is None or self._arena.id not in arenas:
            return wire.tensors_to_pb(arrays)
        left_s = context.time_remaining()
        return share(arrays, self._arena, (_NO_DEADLINE_S if left_s is None else left_s) + _MARGIN_S)

    def _release(self, blocks: Iterable[tensor_pb2.SharedBlock]) -> None:
        if self._arena is not None:
            self._arena.release(block.generation for block in blocks if block.arena == self._arena.id)

    async def DescribeBackbone(
        self, request: pb.DescribeBackboneRequest, context: Context
    ) -> pb.DescribeBackboneResponse:
        return wire.backbones_to_pb(await self._backbones.describe())

    async def _first(self) -> str:
        """The digest of the backbone that callers mean who know of one alone."""
        served = await self._backbones.describe()
        return served[0].digest if served else ""
