"""Analyze as a model: pictures and the names of heads in, one JSON document for each picture out."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.directory import Directory
from trunkline.gateway.oip.model import PICTURE, RESULT, Description, Item, ModelRequest, Port, each, no_params
from trunkline.gateway.oip.outputs import JSON_PORT, document
from trunkline.gateway.oip.tensors import BYTES
from trunkline.serving.aside import aside
from trunkline.serving.limits import check_message

NAME = "analyze"
VERSION = "1"
_MOST_HEADS = 64
HEADS = "heads"  # parameter: names of heads, separated by commas
MOST_LOST = "max_points_lost"  # parameter, as in AnalyzeRequest


class Vision(Protocol):
    """The call of VisionService that this model stands for."""

    def Analyze(self, request: pb.AnalyzeRequest, context: Any) -> Awaitable[pb.AnalyzeResponse]: ...  # noqa: N802


@dataclass(frozen=True)
class AnalyzeModel:
    directory: Directory
    vision: Vision
    fault: ClassVar[str] = ""

    @property
    def description(self) -> Description:
        return Description(NAME, VERSION, (VERSION,), (Port(PICTURE, BYTES, (1,)),), (JSON_PORT,))

    async def answer(self, question: ModelRequest) -> list[Item]:
        """A head that fails is an outcome in the document. Raises InvalidRequestError and errors of the picture."""
        no_params(question.params, [HEADS, MOST_LOST])
        heads, points = _names(question.params.get(HEADS)), _points(question.params.get(MOST_LOST))
        check_message(_request(b"", heads, points))
        pictures = question.inputs[PICTURE]  # (N,) bytes
        return await each(len(pictures), lambda place: self._one(_request(pictures[place], heads, points), question))

    async def _one(self, request: pb.AnalyzeRequest, question: ModelRequest) -> Item:
        done = await self.vision.Analyze(request, question.context)
        return Item(
            outputs={RESULT: await aside(document, done)} if RESULT in question.wanted else {},
            version=VERSION,
            queue_ms=done.timings.queue_ms,
            decode_ms=done.timings.decode_ms,
            infer_ms=done.timings.backbone_ms + done.timings.head_ms,
        )


def _request(picture: bytes, heads: list[str], points: float | None) -> pb.AnalyzeRequest:
    asks = [pb.HeadRequest(head=head) for head in heads]
    return pb.AnalyzeRequest(image=image_pb2.Image(data=picture), heads=asks, max_points_lost=points)


def _points(value: object) -> float | None:
    """Whoever answers says which numbers it takes."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise InvalidRequestError(f"parameter {MOST_LOST!r} is a number of points, such as 2")


def _names(value: object) -> list[str]:
    names = [name.strip() for name in value.split(",", _MOST_HEADS)] if isinstance(value, str) else []
    if len(names) > _MOST_HEADS:
        raise InvalidRequestError(f"parameter {HEADS!r} may name at most {_MOST_HEADS} heads")
    if not names or not all(names):
        raise InvalidRequestError(f"parameter {HEADS!r} must name the heads to ask, separated by commas")
    return names
