"""The client for asyncio: the methods of Client, awaited."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
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
from trunkline.client.conversation import IN_FLIGHT, PATIENCE_S, Conversation, OnOutcome
from trunkline.client.encode import ImageLike
from trunkline.client.errors import from_rpc_error
from trunkline.client.readiness import PAUSE_S, Readiness
from trunkline.client.stream_aio import AsyncStream, Pictures, encoded
from trunkline.core.results import Embedding

Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncClient:
    """A connection to a gateway at HOST:PORT; made when it is first used. Make it inside the event loop.

    Every method raises ServiceError where the call fails, UnreachableError where nothing answers.
    """

    def __init__(self, target: str = DEFAULT_TARGET) -> None:
        self.target = target
        self._channel = grpc.aio.insecure_channel(target, options=options_for(target))
        self._vision = VisionServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection. Calls in flight are cancelled."""
        await self._channel.close()

    async def classify(
        self, image: ImageLike, head: str | None = None, top_k: int | None = None, timeout_s: float = 30.0
    ) -> ClassifyAnswer:
        """The `top_k` (5 by default) most probable classes, best first; see Client.classify."""
        request = messages.classify_request(await encoded(image), head, top_k)
        return messages.classify_answer(await self._call(self._vision.Classify, request, timeout_s))

    async def regress(self, image: ImageLike, head: str | None = None, timeout_s: float = 30.0) -> RegressAnswer:
        """One estimate with its unit for each target of a regression head; see Client.regress."""
        request = messages.regress_request(await encoded(image), head)
        return messages.regress_answer(await self._call(self._vision.Regress, request, timeout_s))

    async def detect(
        self,
        image: ImageLike,
        head: str | None = None,
        timeout_s: float = 30.0,
        **options: Unpack[messages.DetectOptions],
    ) -> DetectAnswer:
        """The objects of a picture, best first; see Client.detect."""
        request = messages.detect_request(await encoded(image), head, options)
        return messages.detect_answer(await self._call(self._vision.Detect, request, timeout_s))

    async def segment(
        self,
        image: ImageLike,
        head: str | None = None,
        masks: messages.MaskFormat = "png",
        confidence_map: bool = False,
        timeout_s: float = 30.0,
    ) -> SegmentAnswer:
        """A class for every pixel, in the size of the upright picture; see Client.segment."""
        request = messages.segment_request(await encoded(image), head, masks, confidence_map)
        return messages.segment_answer(await self._call(self._vision.Segment, request, timeout_s))

    async def embed(self, image: ImageLike, head: str | None = None, timeout_s: float = 30.0) -> EmbedAnswer:
        """The unit vector of a picture with the id of its space; see Client.embed."""
        request = messages.embed_request(await encoded(image), head)
        return messages.embed_answer(await self._call(self._vision.Embed, request, timeout_s))

    async def compare(
        self, first: ImageLike, second: ImageLike | Embedding, head: str | None = None, timeout_s: float = 30.0
    ) -> CompareAnswer:
        """How alike two pictures are, or a picture and a vector; see Client.compare."""
        other = second if isinstance(second, Embedding) else await encoded(second)
        request = messages.compare_request(await encoded(first), other, head)
        return messages.compare_answer(await self._call(self._vision.Compare, request, timeout_s))

    async def analyze(
        self, image: ImageLike, heads: Sequence[messages.HeadLike], timeout_s: float = 30.0
    ) -> AnalyzeAnswer:
        """Ask several heads about one picture; see Client.analyze."""
        request = messages.analyze_request(await encoded(image), heads)
        return messages.analyze_answer(await self._call(self._vision.Analyze, request, timeout_s))

    async def analyze_stream(
        self,
        images: Pictures,
        heads: Sequence[messages.HeadLike],
        *,
        timeout_s: float = 30.0,
        in_flight: int = IN_FLIGHT,
        patience_s: float = PATIENCE_S,
        on_outcome: OnOutcome | None = None,
    ) -> AsyncIterator[PictureAnswer]:
        """Ask several heads about many pictures, from any iterable or async iterable; see Client.analyze_stream."""
        stream = AsyncStream(self.target, self._vision.AnalyzeStream, Conversation(heads, timeout_s), in_flight)
        async with contextlib.aclosing(stream.answers(images, patience_s, on_outcome)) as answers:
            async for answer in answers:
                yield answer

    async def list_heads(self, task: str | None = None, timeout_s: float = 30.0) -> list[ServedHead]:
        """All heads that are served, or those of one task, in order of name. `timeout_s` is for each page."""
        heads: list[ServedHead] = []
        token = ""
        while True:
            page = await self._call(self._vision.ListHeads, messages.list_request(task, token), timeout_s)
            heads.extend(map(messages.served_head, page.heads))
            token = page.next_page_token
            if not token:
                return heads

    async def get_head(self, name: str, timeout_s: float = 30.0) -> ServedHead:
        """The head of this name. Raises ServiceError with code NOT_FOUND where there is none."""
        found = await self._call(self._vision.GetHead, messages.get_request(name), timeout_s)
        return messages.served_head(found.head)

    async def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return once the service says that it is ready. Raises ServiceError after `timeout_s` seconds."""
        readiness = Readiness(self.target, timeout_s)
        while not readiness.reached:
            try:
                answer = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=readiness.check_s)
            except grpc.RpcError as error:
                readiness.failed(error)
            else:
                readiness.saw(answer.status)
            await asyncio.sleep(0 if readiness.reached else PAUSE_S)

    async def _call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout_s: float,
    ) -> Response:
        try:
            return await method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target, timeout_s) from None
