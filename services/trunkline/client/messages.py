"""Requests from plain values, and answers back: pure functions that both clients share."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.client.answers import (
    AnalyzeAnswer,
    ClassifyAnswer,
    HeadOutcome,
    ImageSize,
    RegressAnswer,
    ServedHead,
    Timings,
)
from trunkline.client.errors import ServiceError, from_head_error
from trunkline.core.results import Classification, Regression, Result
from trunkline.serving import wire

R = TypeVar("R", bound=Result)


class HeadAsk(NamedTuple):
    """One head to ask, with the parameters of its task. A required one that fails fails the call."""

    head: str
    params: Mapping[str, Any] = {}
    required: bool = False


HeadLike = str | HeadAsk | tuple[str, Mapping[str, Any]]


def classify_request(image: bytes, head: str | None, top_k: int | None) -> pb.ClassifyRequest:
    return pb.ClassifyRequest(image=image_pb2.Image(data=image), head=head or "", top_k=top_k)


def regress_request(image: bytes, head: str | None) -> pb.RegressRequest:
    return pb.RegressRequest(image=image_pb2.Image(data=image), head=head or "")


def analyze_request(image: bytes, heads: Sequence[HeadLike]) -> pb.AnalyzeRequest:
    """Raises TypeError for a single string, InvalidRequestError for parameters that JSON does not have."""
    if isinstance(heads, str):
        raise TypeError(f"heads is a list of names: write [{heads!r}]")
    asks = [HeadAsk(head) if isinstance(head, str) else HeadAsk(*head) for head in heads]
    return pb.AnalyzeRequest(image=image_pb2.Image(data=image), heads=map(_ask_to_pb, asks))


def list_request(task: str | None, token: str) -> pb.ListHeadsRequest:
    return pb.ListHeadsRequest(task=task or "", page_token=token)


def get_request(name: str) -> pb.GetHeadRequest:
    return pb.GetHeadRequest(head=name)


def classify_answer(response: pb.ClassifyResponse) -> ClassifyAnswer:
    """Raises ServiceError where the head gave no classification."""
    return ClassifyAnswer(*_answer(response, Classification))


def regress_answer(response: pb.RegressResponse) -> RegressAnswer:
    """Raises ServiceError where the head gave no regression."""
    return RegressAnswer(*_answer(response, Regression))


def analyze_answer(response: pb.AnalyzeResponse) -> AnalyzeAnswer:
    return AnalyzeAnswer(
        outcomes=tuple(map(_outcome, response.outcomes)),
        image_size=_size(response.image_size),
        timings=_timings(response.timings),
        backbone_passes=response.backbone_passes,
    )


def served_head(head: pb.Head) -> ServedHead:
    return ServedHead(
        name=head.name,
        version=head.version,
        task=head.task,
        digest=head.digest,
        backbone=head.backbone,
        backbone_digest=head.backbone_digest,
        features=tuple(head.features),
        preprocess_fingerprint=head.preprocess_fingerprint,
        labels=tuple(head.labels),
        mode=head.mode,
        ready=head.ready,
        fault=head.fault,
        other_versions=tuple(head.other_versions),
        aliases=dict(head.aliases),
        canary_version=head.canary_version,
        canary_share=head.canary_share,
        warning=head.warning,
    )


def _ask_to_pb(ask: HeadAsk) -> pb.HeadRequest:
    params = wire.params_to_pb(ask.params) if ask.params else None
    return pb.HeadRequest(head=ask.head, params=params, required=ask.required)


def _answer(
    response: pb.ClassifyResponse | pb.RegressResponse, wanted: type[R]
) -> tuple[str, str, R, ImageSize, Timings]:
    outcome = _outcome(response.outcome)
    result = outcome.value()
    if not isinstance(result, wanted):
        text = f"head {outcome.head!r} answered with no {wanted.__name__.lower()}"
        raise ServiceError("INTERNAL", "INTERNAL", text)
    return outcome.head, outcome.version, result, _size(response.image_size), _timings(response.timings)


def _outcome(outcome: pb.HeadOutcome) -> HeadOutcome:
    result, error = wire.get_result(outcome), None
    if result is None:
        error = from_head_error(outcome.error) if outcome.HasField("error") else _unknown_result(outcome.head)
    return HeadOutcome(outcome.head, outcome.model_version, result, error, outcome.head_ms)


def _unknown_result(head: str) -> ServiceError:
    text = f"head {head!r} answered with a result that this client does not know: update trunkline here"
    return ServiceError("UNIMPLEMENTED", "UNKNOWN_RESULT", text)


def _size(size: image_pb2.ImageSize) -> ImageSize:
    return ImageSize(size.width, size.height)


def _timings(timings: pb.Timings) -> Timings:
    return Timings(
        queue_ms=timings.queue_ms,
        decode_ms=timings.decode_ms,
        backbone_ms=timings.backbone_ms,
        head_ms=timings.head_ms,
        total_ms=timings.total_ms,
    )
