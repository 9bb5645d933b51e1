"""The client for plain code."""

import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import messages
from trunkline.client.answers import (
    AnalyzeAnswer,
    ClassifyAnswer,
    CompareAnswer,
    DetectAnswer,
    EmbedAnswer,
    PictureAnswer,
    RegressAnswer,
    SegmentAnswer,
    ServedHead,
)
from trunkline.client.connection import DEFAULT_TARGET, options_for
from trunkline.client.conversation import IN_FLIGHT, PATIENCE_S, Conversation, OnOutcome, PictureLike
from trunkline.client.encode import ImageLike, encode_image
from trunkline.client.errors import from_rpc_error
from trunkline.client.readiness import PAUSE_S, Readiness
from trunkline.client.stream_sync import Stream
from trunkline.core.results import Embedding

Request = TypeVar("Request")
Response = TypeVar("Response")


class Client:
    """A connection to a gateway at HOST:PORT; made when it is first used. May be shared between threads.

    Every method raises ServiceError where the call fails, UnreachableError where nothing answers.
    """

    def __init__(self, target: str = DEFAULT_TARGET) -> None:
        self.target = target
        self._channel = grpc.insecure_channel(target, options=options_for(target))
        self._vision = VisionServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. Calls in flight are cancelled."""
        self._channel.close()

    def classify(
        self, image: ImageLike, head: str | None = None, top_k: int | None = None, timeout_s: float = 30.0
    ) -> ClassifyAnswer:
        """The `top_k` (5 by default) most probable classes, best first.

        `image` is a path, encoded bytes, a PIL image, or a uint8 array (H, W, 3) in RGB or (H, W). `head` may
        be left out where just one classification head is served, or one is the default. Raises as encode_image
        does, too.
        """
        request = messages.classify_request(encode_image(image), head, top_k)
        return messages.classify_answer(self._call(self._vision.Classify, request, timeout_s))

    def regress(self, image: ImageLike, head: str | None = None, timeout_s: float = 30.0) -> RegressAnswer:
        """One estimate with its unit for each target of a regression head, in their order.

        `image` is as for classify. `head` may be left out as for classify. An estimate
        may lie outside of the range that the head was trained on. Raises as encode_image does, too.
        """
        request = messages.regress_request(encode_image(image), head)
        return messages.regress_answer(self._call(self._vision.Regress, request, timeout_s))

    def detect(
        self,
        image: ImageLike,
        head: str | None = None,
        timeout_s: float = 30.0,
        **options: Unpack[messages.DetectOptions],
    ) -> DetectAnswer:
        """The objects of a picture, best first, with boxes in pixels of the upright picture; none may be there.

        What the options mean is told by DetectOptions. `image` and `head` are as for classify. Raises as
        encode_image does, too.
        """
        request = messages.detect_request(encode_image(image), head, options)
        return messages.detect_answer(self._call(self._vision.Detect, request, timeout_s))

    def segment(
        self,
        image: ImageLike,
        head: str | None = None,
        masks: messages.MaskFormat = "png",
        confidence_map: bool = False,
        timeout_s: float = 30.0,
    ) -> SegmentAnswer:
        """A class for every pixel, in the size of the upright picture.

        masks: "png" for a label map, "rle" for run lengths of each class, or "both". confidence_map: the probability
        of each pixel's class as a gray PNG. `image` and `head` are as for classify. Raises as encode_image does, too.
        """
        request = messages.segment_request(encode_image(image), head, masks, confidence_map)
        return messages.segment_answer(self._call(self._vision.Segment, request, timeout_s))

    def embed(self, image: ImageLike, head: str | None = None, timeout_s: float = 30.0) -> EmbedAnswer:
        """The unit vector that stands for a picture, the id of its space, and what distances in it mean.

        `image` and `head` are as for classify. Raises as encode_image does, too.
        """
        request = messages.embed_request(encode_image(image), head)
        return messages.embed_answer(self._call(self._vision.Embed, request, timeout_s))

    def compare(
        self, first: ImageLike, second: ImageLike | Embedding, head: str | None = None, timeout_s: float = 30.0
    ) -> CompareAnswer:
        """How alike two pictures are, or a picture and a vector that was answered before, of the same space.

        A vector of another space is FAILED_PRECONDITION with reason SPACE_MISMATCH. `first`, `second` and `head` are
        as for classify. Raises as encode_image does, too.
        """
        other = second if isinstance(second, Embedding) else encode_image(second)
        request = messages.compare_request(encode_image(first), other, head)
        return messages.compare_answer(self._call(self._vision.Compare, request, timeout_s))

    def analyze(self, image: ImageLike, heads: Sequence[messages.HeadLike], timeout_s: float = 30.0) -> AnalyzeAnswer:
        """Ask several heads about one picture. A head is its name, (name, parameters) or a HeadAsk.

        A head that fails, or takes longer than its budget, has its error in its outcome, unless it was required.
        Raises as encode_image does.
        """
        request = messages.analyze_request(encode_image(image), heads)
        return messages.analyze_answer(self._call(self._vision.Analyze, request, timeout_s))

    def analyze_stream(
        self,
        images: Iterable[PictureLike],
        heads: Sequence[messages.HeadLike],
        *,
        timeout_s: float = 30.0,
        in_flight: int = IN_FLIGHT,
        patience_s: float = PATIENCE_S,
        on_outcome: OnOutcome | None = None,
    ) -> Iterator[PictureAnswer]:
        """Ask several heads about many pictures: one answer for each, in the order in which they are ready.

        An image is what classify takes, or (key, image) with a key for its answer instead of its number. At most
        `in_flight` are taken from `images` and not handed back yet. `timeout_s` is for each picture;
        `on_outcome(key, outcome)` is told of each head before its picture is complete. A picture that fails, or
        that cannot be read, has its error in its answer. Where the service restarts, it goes on by itself, and raises
        UnreachableError where that is away for `patience_s`, or is not there at first.
        """
        stream = Stream(self.target, self._vision.AnalyzeStream, Conversation(heads, timeout_s), in_flight)
        yield from stream.answers(images, patience_s, on_outcome)

    def list_heads(self, task: str | None = None, timeout_s: float = 30.0) -> list[ServedHead]:
        """All heads that are served, or those of one task, in order of name. `timeout_s` is for each page."""
        heads: list[ServedHead] = []
        token = ""
        while True:
            page = self._call(self._vision.ListHeads, messages.list_request(task, token), timeout_s)
            heads.extend(map(messages.served_head, page.heads))
            token = page.next_page_token
            if not token:
                return heads

    def get_head(self, name: str, timeout_s: float = 30.0) -> ServedHead:
        """The head of this name. Raises ServiceError with code NOT_FOUND where there is none."""
        found = self._call(self._vision.GetHead, messages.get_request(name), timeout_s)
        return messages.served_head(found.head)

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return once the service says that it is ready. Raises ServiceError after `timeout_s` seconds."""
        readiness = Readiness(self.target, timeout_s)
        while not readiness.reached:
            try:
                answer = self._health.Check(health_pb2.HealthCheckRequest(), timeout=readiness.check_s)
            except grpc.RpcError as error:
                readiness.failed(error)
            else:
                readiness.saw(answer.status)
            time.sleep(0 if readiness.reached else PAUSE_S)

    def _call(
        self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request, timeout_s: float
    ) -> Response:
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target, timeout_s) from None
