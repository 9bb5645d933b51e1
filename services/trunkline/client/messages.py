"""Requests from plain values, and answers back: pure functions that both clients share."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import MethodDescriptor

from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.client.answers import (
    AnalyzeAnswer,
    CompareAnswer,
    HeadOutcome,
    HeadVariant,
    ImageSize,
    Pass,
    PassHead,
    ServedHead,
    SingleAnswer,
    Timings,
)
from trunkline.client.errors import ServiceError, from_head_error
from trunkline.core.errors import InvalidRequestError
from trunkline.core.results import Embedding
from trunkline.core.tasks import AnyTask
from trunkline.core.text import listed
from trunkline.serving import wire, wire_calls, wire_results


class HeadAsk(NamedTuple):
    """One head to ask, with the parameters of its task. A required one that fails fails the call.

    `budget_s` is its own time, in seconds since the call began; a head that takes longer fails alone.
    """

    head: str
    params: Mapping[str, Any] = {}
    required: bool = False
    budget_s: float | None = None


HeadLike = str | HeadAsk | tuple[str, Mapping[str, Any]]


def task_request(task: AnyTask, image: bytes, head: str | None, params: Mapping[str, Any]) -> Any:
    """Of the task's own call, with the parameters that are not None. Raises as wire_calls.request_of does."""
    return wire_calls.request_of(require_method(task), image, head, params)


def require_method(task: AnyTask) -> MethodDescriptor:
    """Raises InvalidRequestError for a task without a call of its own."""
    method = wire_calls.method_of(task)
    if method is None:
        raise InvalidRequestError(f"task {task.name} has no call of its own: ask its heads by analyze")
    return method


def only_head(task: str, served: Sequence[ServedHead]) -> str:
    """Raises InvalidRequestError where none is served, or several are."""
    if len(served) != 1:
        names = listed(head.name for head in served)
        raise InvalidRequestError(f"name a head of task {task}; served: {names}")
    return served[0].name


def compare_request(first: bytes, second: bytes | Embedding, head: str | None) -> pb.CompareRequest:
    request = pb.CompareRequest(first_image=image_pb2.Image(data=first), head=head or "")
    if isinstance(second, Embedding):
        request.second_embedding.CopyFrom(wire_results.embedding_to_pb(second))
    else:
        request.second_image.data = second
        request.second_image.SetInParent()
    return request


def analyze_request(
    image: bytes, heads: Sequence[HeadLike], max_points_lost: float | None = None
) -> pb.AnalyzeRequest:
    """Raises as head_requests does."""
    asks = head_requests(heads)
    return pb.AnalyzeRequest(image=image_pb2.Image(data=image), heads=asks, max_points_lost=max_points_lost)


def head_requests(heads: Sequence[HeadLike]) -> list[pb.HeadRequest]:
    """Raises TypeError for a single string, InvalidRequestError for parameters that JSON does not have."""
    if isinstance(heads, str):
        raise TypeError(f"heads is a list of names: write [{heads!r}]")
    asks = [HeadAsk(head) if isinstance(head, str) else HeadAsk(*head) for head in heads]
    return list(map(_ask_to_pb, asks))


def stream_request(
    picture: str,
    image: bytes,
    heads: Sequence[pb.HeadRequest],
    timeout_s: float,
    max_points_lost: float | None = None,
) -> pb.AnalyzeStreamRequest:
    """`picture` is its id on the wire. Raises InvalidRequestError for a time that is none."""
    return pb.AnalyzeStreamRequest(
        id=picture,
        image=image_pb2.Image(data=image),
        heads=heads,
        budget=wire.seconds_to_pb(timeout_s),
        max_points_lost=max_points_lost,
    )


def list_request(task: str | None, token: str) -> pb.ListHeadsRequest:
    return pb.ListHeadsRequest(task=task or "", page_token=token)


def get_request(name: str) -> pb.GetHeadRequest:
    return pb.GetHeadRequest(head=name)


def task_answer(task: AnyTask, response: Any) -> SingleAnswer[Any]:
    """Of the task's own call. Raises ServiceError where the head gave no such result."""
    outcome = head_outcome(response.outcome)
    return single_answer(task, outcome, _size(response.image_size), _timings(response.timings))


def single_answer(task: AnyTask, outcome: HeadOutcome, size: ImageSize, timings: Timings) -> SingleAnswer[Any]:
    """Raises ServiceError where the head gave no result of the task."""
    result = outcome.value()
    if not isinstance(result, task.result):
        text = f"head {outcome.head!r} answered with no {task.result.__name__.lower()}"
        raise ServiceError("INTERNAL", "INTERNAL", text)
    return SingleAnswer(outcome.head, outcome.version, result, size, timings)


def compare_answer(response: pb.CompareResponse) -> CompareAnswer:
    found = wire_results.comparison_from_pb(response.comparison)
    return CompareAnswer(response.head, response.model_version, found, _timings(response.timings))


def analyze_answer(response: pb.AnalyzeResponse) -> AnalyzeAnswer:
    return AnalyzeAnswer(
        outcomes=tuple(map(head_outcome, response.outcomes)),
        image_size=_size(response.image_size),
        timings=_timings(response.timings),
        backbone_passes=response.backbone_passes,
        passes=tuple(map(_pass, response.passes)),
    )


def picture_answer(outcomes: Sequence[HeadOutcome], done: pb.PictureDone) -> AnalyzeAnswer:
    return AnalyzeAnswer(
        outcomes=tuple(outcomes),
        image_size=_size(done.image_size),
        timings=_timings(done.timings),
        backbone_passes=done.backbone_passes,
        passes=tuple(map(_pass, done.passes)),
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
        terms=head.terms,
        barred=head.barred,
        variants=tuple(
            HeadVariant(each.preprocess_fingerprint, each.spec, each.points_lost, each.digest)
            for each in head.variants
        ),
    )


def _ask_to_pb(ask: HeadAsk) -> pb.HeadRequest:
    params = wire.params_to_pb(ask.params) if ask.params else None
    budget = None if ask.budget_s is None else wire.seconds_to_pb(ask.budget_s)
    return pb.HeadRequest(head=ask.head, params=params, required=ask.required, budget=budget)


def head_outcome(outcome: pb.HeadOutcome) -> HeadOutcome:
    """A result that is not known here is an error."""
    result, error = wire_results.get_result(outcome), None
    if result is None:
        error = from_head_error(outcome.error) if outcome.HasField("error") else _unknown_result(outcome.head)
    return HeadOutcome(outcome.head, outcome.model_version, result, error, outcome.head_ms, outcome.queue_ms)


def _unknown_result(head: str) -> ServiceError:
    text = f"head {head!r} answered with a result that this client does not know: update trunkline here"
    return ServiceError("UNIMPLEMENTED", "UNKNOWN_RESULT", text)


def _pass(made: pb.Pass) -> Pass:
    return Pass(
        made.preprocess_fingerprint,
        made.queue_ms,
        made.decode_ms,
        made.backbone_ms,
        made.backbone,
        made.spec,
        tuple(PassHead(each.head, each.points_lost) for each in made.heads),
    )


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
