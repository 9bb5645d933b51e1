"""The ports over gRPC: a backbone and heads in other processes."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2
from trunkline.api.inference.v1.backbone_service_pb2_grpc import BackboneServiceStub
from trunkline.api.inference.v1.head_service_pb2_grpc import HeadServiceStub
from trunkline.api.vision.v1 import vision_service_pb2
from trunkline.core.errors import FeaturesGoneError, ServiceUnavailableError
from trunkline.core.exchange import (
    AnswerNow,
    BackboneInfo,
    Feature,
    FeatureRequest,
    Features,
    HeadAnswer,
    HeadInfo,
    HeadQuestion,
    RemoteFeature,
)
from trunkline.core.explaining import PlacesAnswer
from trunkline.core.pace import Pace
from trunkline.gateway.blocks import Blocks
from trunkline.gateway.throttle import Throttle
from trunkline.serving import wire, wire_results
from trunkline.serving.aside import aside
from trunkline.serving.senders import SMALL_BYTES
from trunkline.serving.status import from_head_error, from_rpc_error

_DESCRIBE_TIMEOUT_S = 2.0
# A service that answers nothing, and did not say what it serves when it was asked so long ago, is given little time:
# it is most likely gone, and whoever asks many heads should not wait for it until the deadline.
_SILENT_S, _SILENT_TIMEOUT_S = 3.0, 1.0
_SMALL_FEATURES = 64 * 1024  # bytes
Answer = HeadAnswer | Exception
_HEAD_SERVICE = head_service_pb2.DESCRIPTOR.services_by_name["HeadService"].full_name
_PREDICT, _PREDICT_ALL = f"/{_HEAD_SERVICE}/Predict", f"/{_HEAD_SERVICE}/PredictAll"
_DESCRIBE = f"/{_HEAD_SERVICE}/DescribeHeads"


class RemoteBackbones:
    """The FeatureSource at an address: a service with one backbone or several."""

    def __init__(self, channel: grpc.aio.Channel, address: str, for_large: grpc.aio.Channel | None = None) -> None:
        """`for_large`: a connection of their own for large pictures, behind which small ones do not wait."""
        self._stub = BackboneServiceStub(channel)
        self._stub_for_large = BackboneServiceStub(for_large or channel)
        self._blocks = Blocks()
        self._throttles = {required: Throttle() for required in (False, True)}
        self._name = f"the backbone service at {address}"

    async def describe(self) -> list[BackboneInfo]:
        try:
            info = await self._stub.DescribeBackbone(
                backbone_service_pb2.DescribeBackboneRequest(), timeout=_DESCRIBE_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._name) from error
        return wire.backbones_from_pb(info)

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        throttle = self._throttles[request.required]
        ticket = throttle.admit(timeout_s)
        stub = self._stub_for_large if len(request.image) > SMALL_BYTES else self._stub
        try:
            answer = await stub.ExtractFeatures(self._message(request), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise throttle.noted(from_rpc_error(error, self._name), ticket, timeout_s) from error
        if answer.cached:
            throttle.kept()
        return self._features(answer)

    def _message(self, request: FeatureRequest) -> backbone_service_pb2.ExtractFeaturesRequest:
        return backbone_service_pb2.ExtractFeaturesRequest(
            image=request.image,
            preprocess=wire.spec_to_pb(request.spec),
            features=request.features,
            optional=not request.required,
            arenas=request.arenas,
            released=self._blocks.take_released(),
            backbone_digest=request.backbone_digest,
            mask=wire.mask_to_pb(request.mask) if request.mask is not None else None,
        )

    def _features(self, answer: backbone_service_pb2.ExtractFeaturesResponse) -> Features:
        held = self._blocks.hold(answer.features.values())
        return Features(
            arrays={
                name: wire.remote_feature(name, tensor, held if tensor.HasField("shared") else None)
                for name, tensor in answer.features.items()
            },
            frame=wire.frame_from_pb(answer.frame),
            backbone_digest=answer.backbone_digest,
            queue_ms=answer.queue_ms,
            decode_ms=answer.decode_ms,
            backbone_ms=answer.backbone_ms,
            cached=answer.cached,
            held=held,
        )


class RemoteHeads:
    """The HeadRunner at an address."""

    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self._describe: Any = channel.unary_unary(_DESCRIBE)
        self._described: tuple[bytes, list[HeadInfo]] = b"", []
        # Its requests are put together as bytes, so that features pass through unread.
        self._predict: Any = channel.unary_unary(
            _PREDICT, response_deserializer=head_service_pb2.PredictResponse.FromString
        )
        self._predict_all: Any = channel.unary_unary(
            _PREDICT_ALL, response_deserializer=head_service_pb2.PredictAllResponse.FromString
        )
        self._explain: Any = HeadServiceStub(channel).ExplainHead
        self._takes_several = True
        self._paces: defaultdict[tuple[str, str, str], Pace] = defaultdict(Pace)  # by head, version and variant
        self._name = f"the head service at {address}"
        self._silent_since: float | None = None
        self._arenas: frozenset[str] = frozenset()
        self._unreadable: set[str] = set()

    @property
    def arenas(self) -> frozenset[str]:
        return self._arenas - self._unreadable

    async def describe(self) -> list[HeadInfo]:
        try:
            answer = await self._describe(b"", timeout=_DESCRIBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self._silent_since = self._silent_since or time.monotonic()
            raise from_rpc_error(error, self._name) from error
        self._silent_since = None
        if answer != self._described[0]:  # it is asked every moment, and says the same nearly always
            self._arenas, heads = await aside(_described, answer)
            self._described = answer, heads
        return self._described[1]

    def quick(self, head: HeadInfo, params: Mapping[str, Any]) -> AnswerNow | None:
        """None: the features are not made here."""
        return None

    async def predict(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        given_s = self._given_s(timeout_s)
        try:
            answer = await self._predict(wire.predict_request(question), timeout=given_s)
        except grpc.aio.AioRpcError as error:
            raise self._noted(self._explained(error, cut=given_s != timeout_s)) from error
        self._silent_since = None
        return self._ran(question, self._answer_of(answer.outcome))

    def is_cheaper_together(self, question: HeadQuestion) -> bool:
        """For heads that are quick, on features that lie in the message itself and are few bytes."""
        pace = self._paces[question.head, question.version, question.variant]
        return self._takes_several and pace.is_quick(question.params) and _is_small(question.features)

    async def predict_all(self, questions: Sequence[HeadQuestion], timeout_s: float | None) -> Sequence[Answer]:
        given_s = self._given_s(timeout_s)
        try:
            answer = await self._predict_all(wire.predict_all_request(questions), timeout=given_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise self._explained(error, cut=given_s != timeout_s) from error
            self._takes_several = False  # a service of an older version
            asked = [self.predict(question, timeout_s) for question in questions]
            found = await asyncio.gather(*asked, return_exceptions=True)
            return [each if isinstance(each, HeadAnswer | Exception) else RuntimeError(str(each)) for each in found]
        self._silent_since = None
        return [self._answer_or_error(*each) for each in zip(questions, answer.outcomes, strict=True)]

    async def explain(
        self, question: HeadQuestion, target: str, reference: Sequence[float], timeout_s: float | None
    ) -> PlacesAnswer:
        inner = head_service_pb2.PredictRequest.FromString(wire.predict_request(question))
        request = head_service_pb2.ExplainHeadRequest(question=inner, target=target, reference=reference)
        try:
            return wire.places_from_pb(await self._explain(request, timeout=timeout_s))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._name) from error

    def _ran(self, question: HeadQuestion, answer: HeadAnswer) -> HeadAnswer:
        pace = self._paces[question.head, question.version, question.variant]
        pace.ran(question.params, (answer.head_ms - answer.queue_ms) / 1000)
        return answer

    def _given_s(self, timeout_s: float | None) -> float | None:
        """How long a call may take: as it was asked, but little while the service says nothing at all."""
        if self._silent_since is None or time.monotonic() - self._silent_since < _SILENT_S:
            return timeout_s
        return _SILENT_TIMEOUT_S if timeout_s is None else min(timeout_s, _SILENT_TIMEOUT_S)

    def _explained(self, error: grpc.aio.AioRpcError, *, cut: bool) -> Exception:
        if cut and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ServiceUnavailableError(f"{self._name} does not answer: try again")
        return from_rpc_error(error, self._name)

    def _answer_or_error(self, question: HeadQuestion, outcome: vision_service_pb2.HeadOutcome) -> Answer:
        """Of one head among others: what is wrong with its answer costs that one alone."""
        if outcome.HasField("error"):
            return from_head_error(outcome.error)
        try:
            return self._ran(question, self._answer_of(outcome))
        except ServiceUnavailableError as error:
            return error

    def _answer_of(self, outcome: vision_service_pb2.HeadOutcome) -> HeadAnswer:
        answer = wire_results.remote_answer(outcome)
        if answer is None:
            raise ServiceUnavailableError(f"{self._name} gave no result: its version is newer than this gateway's")
        return answer

    def _noted(self, error: Exception) -> Exception:
        """Of several processes behind one address, some may not have the arena that the one we asked has."""
        if isinstance(error, FeaturesGoneError) and "arena" in error.metadata:
            self._unreadable.add(error.metadata["arena"])
        return error


def _is_small(features: Mapping[str, Feature]) -> bool:
    parts = [value for value in features.values() if isinstance(value, RemoteFeature) and value.held is None]
    return len(parts) == len(features) and sum(len(part.message) for part in parts) < _SMALL_FEATURES


def _described(answer: bytes) -> tuple[frozenset[str], list[HeadInfo]]:
    served = head_service_pb2.DescribeHeadsResponse.FromString(answer)
    return frozenset(served.arenas), list(map(wire.served_head_from_pb, served.heads))
