"""HeadService: convert, call, convert."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import grpc
import numpy as np

from trunkline.api.inference.v1 import head_service_pb2 as pb
from trunkline.api.inference.v1 import head_service_pb2_grpc as pb_grpc
from trunkline.api.vision.v1 import vision_service_pb2
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import HeadAnswer, HeadInfo, HeadQuestion
from trunkline.core.images import ImageLimits
from trunkline.heads.checks import checked_features, checked_frame
from trunkline.heads.engine import HeadEngine
from trunkline.serving import wire, wire_results
from trunkline.serving.aside import aside
from trunkline.serving.shared.reader import ArenaReader
from trunkline.serving.shared.tensors import unchanged
from trunkline.serving.status import code_of, to_head_error

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["HeadService"].full_name
_log = logging.getLogger(__name__)
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class HeadServicer(pb_grpc.HeadServiceServicer):
    def __init__(
        self, heads: HeadEngine, reader: ArenaReader | None = None, max_pixels: int = ImageLimits.max_pixels
    ) -> None:
        """reader: of features that a backbone service of this machine shares. max_pixels: of a caller's picture."""
        self._heads = heads
        self._reader = reader
        self._max_pixels = max_pixels

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        question = self._question(request)
        with unchanged(request.features.values(), self._reader):
            answer = await self._heads.predict(question, context.time_remaining())
        return pb.PredictResponse(outcome=_outcome(request.head, answer))

    def _question(self, request: pb.PredictRequest) -> HeadQuestion:
        return HeadQuestion(
            head=request.head,
            features=checked_features(wire.tensors_from_pb(request.features, self._reader)),
            frame=checked_frame(wire.frame_from_pb(request.frame), self._max_pixels),
            backbone_digest=request.backbone_digest,
            params=wire.params_from_pb(request.params),
            version=request.version,
            required=not request.optional,
            variant=request.variant,
        )

    async def ExplainHead(self, request: pb.ExplainHeadRequest, context: Context) -> pb.ExplainHeadResponse:
        question = self._question(request.question)
        with unchanged(request.question.features.values(), self._reader):
            found = await self._heads.explain(
                question, request.target, tuple(request.reference), context.time_remaining()
            )
        return wire.places_to_pb(found)

    async def PredictAll(self, request: pb.PredictAllRequest, context: Context) -> pb.PredictAllResponse:
        if not request.questions:
            raise InvalidRequestError("PredictAll without a question: name one head or more")
        features = checked_features(wire.tensors_from_pb(request.features, self._reader))
        frame = checked_frame(wire.frame_from_pb(request.frame), self._max_pixels)
        questions = [
            HeadQuestion(
                head=each.head,
                features=_named(features, each),
                frame=frame,
                backbone_digest=request.backbone_digest,
                params=wire.params_from_pb(each.params),
                version=each.version,
                required=not each.optional,
                variant=each.variant,
            )
            for each in request.questions
        ]
        left_s = context.time_remaining()
        with unchanged(request.features.values(), self._reader):
            answers = await self._heads.predict_all(questions, left_s)
        return pb.PredictAllResponse(
            outcomes=[_outcome(each.head, answer) for each, answer in zip(questions, answers, strict=True)]
        )

    async def DescribeHeads(self, request: pb.DescribeHeadsRequest, context: Context) -> pb.DescribeHeadsResponse:
        heads = await aside(_served, await self._heads.describe())
        return pb.DescribeHeadsResponse(heads=heads, arenas=self._reader.ids() if self._reader is not None else ())


def _served(heads: Sequence[HeadInfo]) -> list[pb.ServedHead]:
    return list(map(wire.served_head_to_pb, heads))


def _named(features: Mapping[str, np.ndarray], question: pb.HeadQuestion) -> dict[str, np.ndarray]:
    missing = [name for name in question.features if name not in features]
    if missing:
        raise InvalidRequestError(f"features for head {question.head!r} were not sent: {', '.join(missing)}")
    return {name: features[name] for name in question.features}


def _outcome(head: str, answer: HeadAnswer | Exception) -> vision_service_pb2.HeadOutcome:
    if isinstance(answer, HeadAnswer):
        return wire_results.outcome_to_pb(head, answer)
    if code_of(answer) is grpc.StatusCode.INTERNAL:  # its text is not sent, so it is kept here
        _log.error("bug in head %s", head, exc_info=answer)
    return vision_service_pb2.HeadOutcome(head=head, error=to_head_error(answer))
