"""VisionService: convert, call, convert."""

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import grpc

from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1 import vision_service_pb2_grpc as pb_grpc
from trunkline.core.errors import InvalidRequestError, TrunklineError
from trunkline.core.results import Embedding
from trunkline.gateway.analyzer import Analysis, Analyzer, HeadRequest, Outcome
from trunkline.gateway.answers import Pass
from trunkline.gateway.compare import compare_with
from trunkline.gateway.directory import Directory
from trunkline.gateway.explain import explain
from trunkline.gateway.ids import Ids
from trunkline.gateway.streams import Streams
from trunkline.gateway.task_calls import task_calls
from trunkline.serving import wire, wire_explain, wire_results
from trunkline.serving.aside import aside
from trunkline.serving.limits import check_message, short_id
from trunkline.serving.pages import message_page
from trunkline.serving.status import to_head_error

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["VisionService"].full_name
# A picture of a stream, and what is wrong with its id.
_Picture: TypeAlias = tuple[pb.AnalyzeStreamRequest, InvalidRequestError | None]
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_STAGES = tuple(field.name for field in pb.Timings.DESCRIPTOR.fields)
_log = logging.getLogger(__name__)


class VisionServicer(pb_grpc.VisionServiceServicer):
    def __init__(self, analyzer: Analyzer, directory: Directory, streams: Streams, default_timeout_s: float) -> None:
        self._analyzer = analyzer
        self._directory = directory
        self._streams = streams
        self._default_timeout_s = default_timeout_s

    async def Compare(self, request: pb.CompareRequest, context: Context) -> pb.CompareResponse:
        timeout_s = self._timeout_s(context)
        done = await compare_with(self._analyzer, request.head, request.first_image.data, _second(request), timeout_s)
        return pb.CompareResponse(
            head=done.head,
            model_version=done.version,
            comparison=wire_results.comparison_to_pb(done.comparison),
            timings=_slower(done.analyses),
        )

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        asked = wire_explain.question_from_pb(request)
        return wire_explain.explanation_to_pb(await explain(self._analyzer, asked, self._timeout_s(context)))

    async def Analyze(self, request: pb.AnalyzeRequest, context: Context) -> pb.AnalyzeResponse:
        asks = _asks_from_pb(request.heads)
        done = await self._analyzer.analyze(
            request.image.data, asks, self._timeout_s(context), max_points_lost=_points(request)
        )
        return pb.AnalyzeResponse(
            outcomes=map(_outcome_to_pb, done.outcomes),
            image_size=_size_to_pb(done),
            timings=_timings_to_pb(done),
            backbone_passes=done.passes,
            passes=map(_pass_to_pb, done.each_pass),
        )

    async def AnalyzeStream(
        self, request_iterator: AsyncIterable[pb.AnalyzeStreamRequest], context: Context
    ) -> AsyncIterator[pb.AnalyzeStreamResponse]:
        async for response in self._streams.answer(_looked_at(request_iterator), self._answer_picture, _size_of):
            yield response

    async def _answer_picture(self, picture: _Picture, send: Callable[[pb.AnalyzeStreamResponse], None]) -> None:
        request, fault = picture
        key = short_id(request.id)

        def tell(outcome: Outcome) -> None:
            send(pb.AnalyzeStreamResponse(id=key, outcome=_outcome_to_pb(outcome)))

        try:
            if fault is not None:
                raise fault
            check_message(request)
            asks, timeout_s = _asks_from_pb(request.heads), self._picture_timeout_s(request)
            done = await self._analyzer.analyze(request.image.data, asks, timeout_s, tell, _points(request))
        except Exception as error:  # one bad picture costs its own answer, never the stream
            if not isinstance(error, TrunklineError):
                _log.error("bug in a picture of a stream", exc_info=error)
            send(pb.AnalyzeStreamResponse(id=key, error=to_head_error(error)))
        else:
            send(pb.AnalyzeStreamResponse(id=key, done=_done_to_pb(done)))

    async def ListHeads(self, request: pb.ListHeadsRequest, context: Context) -> pb.ListHeadsResponse:
        heads = [head for head in self._directory.heads() if request.task in ("", head.task)]
        part, token = await aside(
            message_page, heads, lambda head: head.name, wire.head_to_pb, request.page_size, request.page_token
        )
        return pb.ListHeadsResponse(heads=part, next_page_token=token)

    async def GetHead(self, request: pb.GetHeadRequest, context: Context) -> pb.GetHeadResponse:
        if not request.head:
            raise InvalidRequestError("name a head; ListHeads says which there are")
        return pb.GetHeadResponse(head=wire.head_to_pb(self._directory.find(request.head).info))

    async def ask_one(self, request: Any, task: str, params: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """The fields of the response of a call that asks one head."""
        done = await self._analyzer.ask_one(request.image.data, task, request.head, params, self._timeout_s(context))
        return {
            "outcome": _outcome_to_pb(done.outcomes[0]),
            "image_size": _size_to_pb(done),
            "timings": _timings_to_pb(done),
        }

    def _timeout_s(self, context: Context) -> float:
        left_s = context.time_remaining()
        return self._default_timeout_s if left_s is None else left_s

    def _picture_timeout_s(self, request: pb.AnalyzeStreamRequest) -> float:
        if not request.HasField("budget"):
            return self._default_timeout_s
        budget_s = wire.seconds_from_pb(request.budget)
        if not budget_s > 0:
            raise InvalidRequestError(f"the budget of the picture is {budget_s:g} s: give one above 0")
        return budget_s


for _name, _call in task_calls(VisionServicer.ask_one).items():
    setattr(VisionServicer, _name, _call)


async def _looked_at(requests: AsyncIterable[pb.AnalyzeStreamRequest]) -> AsyncIterator[_Picture]:
    ids = Ids()
    async for request in requests:
        yield request, ids.take(request.id)


def _size_of(picture: _Picture) -> int:
    return picture[0].ByteSize()


def _second(request: pb.CompareRequest) -> bytes | Embedding:
    """Raises InvalidRequestError where there is nothing to compare with."""
    if not request.HasField("first_image"):
        raise InvalidRequestError("there is no picture to compare: set first_image")
    match request.WhichOneof("second"):
        case "second_image":
            return request.second_image.data
        case "second_embedding":
            return wire_results.embedding_from_pb(request.second_embedding)
        case _:
            raise InvalidRequestError("there is nothing to compare with: set second_image or second_embedding")


def _slower(analyses: Sequence[Analysis]) -> pb.Timings:
    """Of analyses that went side by side, the longer time of each stage."""
    return pb.Timings(**{name: max(getattr(done, name) for done in analyses) for name in _STAGES})


def _points(request: pb.AnalyzeRequest | pb.AnalyzeStreamRequest) -> float | None:
    return request.max_points_lost if request.HasField("max_points_lost") else None


def _asks_from_pb(heads: Iterable[pb.HeadRequest]) -> list[HeadRequest]:
    return [
        HeadRequest(
            head=ask.head,
            params=wire.params_from_pb(ask.params),
            required=ask.required,
            budget_s=wire.seconds_from_pb(ask.budget) if ask.HasField("budget") else None,
        )
        for ask in heads
    ]


def _outcome_to_pb(outcome: Outcome) -> pb.HeadOutcome:
    if outcome.answer is not None:
        return wire_results.outcome_to_pb(outcome.head, outcome.answer)
    message = pb.HeadOutcome(head=outcome.head, model_version=outcome.version)
    if outcome.error is not None:
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


def _pass_to_pb(made: Pass) -> pb.Pass:
    return pb.Pass(
        preprocess_fingerprint=made.fingerprint,
        queue_ms=made.queue_ms,
        decode_ms=made.decode_ms,
        backbone_ms=made.backbone_ms,
        backbone=made.backbone,
        spec=made.spec,
        heads=[pb.PassHead(head=head, points_lost=points) for head, points in made.heads],
    )


def _done_to_pb(done: Analysis) -> pb.PictureDone:
    return pb.PictureDone(
        image_size=_size_to_pb(done),
        timings=_timings_to_pb(done),
        backbone_passes=done.passes,
        passes=map(_pass_to_pb, done.each_pass),
    )
