"""The client for plain code."""

# From aio.py, by python -m docs.generate: change that one.

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import messages
from trunkline.client.answers import (
    AnalyzeAnswer,
    CompareAnswer,
    PictureAnswer,
    ServedHead,
    SingleAnswer,
)
from trunkline.client.connection import DEFAULT_TARGET, Credentials, open_sync
from trunkline.client.conversation import IN_FLIGHT, PATIENCE_S, Conversation, OnOutcome, PictureLike
from trunkline.client.encode import ImageLike, encode_image
from trunkline.client.errors import from_rpc_error
from trunkline.client.readiness import PAUSE_S, Readiness
from trunkline.client.stream_sync import Stream
from trunkline.client.task_methods import TaskMethods
from trunkline.core import tasks
from trunkline.core.explaining import DEFAULT_CELLS, ExplainQuestion, Explanation, Method
from trunkline.core.results import Embedding
from trunkline.serving import wire_calls, wire_explain

Request = TypeVar("Request")
Response = TypeVar("Response")


class Client(TaskMethods):
    """A connection to a gateway at HOST:PORT; made when it is first used. May be shared between threads.

    Every method raises ServiceError where the call fails, UnreachableError where nothing answers.
    """

    def __init__(self, target: str = DEFAULT_TARGET, credentials: Credentials | None = None) -> None:
        """credentials: those of the environment where none are given."""
        self.target = target
        self._channel = open_sync(target, credentials)
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

    def ask(
        self, task: str, image: ImageLike, head: str | None = None, timeout_s: float = 30.0, **params: Any
    ) -> SingleAnswer[Any]:
        """What the call of a task answers, by the name of the task, such as `ask("classification", image, top_k=3)`.

        For a task without a call in the contract `head` is left out only where just one of its heads is served.
        Raises NotFoundError for a task that is not here, and as `classify` does.
        """
        tasks.require(task)
        if wire_calls.method_of(tasks.task_of(task)) is not None:
            return self._ask_task(task, image, head, params, timeout_s)
        name = head or messages.only_head(task, self.list_heads(task, timeout_s))
        answer = self.analyze(image, [messages.HeadAsk(name, params, required=True)], timeout_s)
        return messages.single_answer(tasks.task_of(task), answer.outcomes[0], answer.image_size, answer.timings)

    def _ask_task(
        self, task: str, image: ImageLike, head: str | None, params: Mapping[str, Any], timeout_s: float
    ) -> SingleAnswer[Any]:
        asked = tasks.task_of(task)
        request = messages.task_request(asked, encode_image(image), head, params)
        method = getattr(self._vision, messages.require_method(asked).name)
        return messages.task_answer(asked, self._call(method, request, timeout_s))

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

    def explain(
        self,
        image: ImageLike,
        head: str,
        target: str = "",
        timeout_s: float = 30.0,
        *,
        method: Method | None = None,
        cells: int = DEFAULT_CELLS,
        other: ImageLike | None = None,
    ) -> Explanation:
        """Which places of a picture an answer of a head comes from.

        target: a class, or the name of an estimate; the best or largest one where it is empty. method: "activation"
        for what each place adds, one pass, for heads on one vector of their backbone; "occlusion" for any head, a
        pass for each of cells x cells parts that are hidden. other: for a head that embeds, the picture to compare
        with. Raises as encode_image does.
        """
        second = None if other is None else encode_image(other)
        question = ExplainQuestion(encode_image(image), head, target, method, cells, second)
        request = wire_explain.question_to_pb(question)
        return wire_explain.explanation_from_pb(self._call(self._vision.Explain, request, timeout_s))

    def analyze(
        self,
        image: ImageLike,
        heads: Sequence[messages.HeadLike],
        timeout_s: float = 30.0,
        *,
        max_points_lost: float | None = None,
    ) -> AnalyzeAnswer:
        """Ask several heads about one picture. A head is its name, (name, parameters) or a HeadAsk.

        A head that fails, or takes longer than its budget, has its error in its outcome, unless it was required.
        max_points_lost: how many points of its figures each head may lose so that heads share a pass; None for none.
        Raises as encode_image does.
        """
        request = messages.analyze_request(encode_image(image), heads, max_points_lost)
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
        max_points_lost: float | None = None,
    ) -> Iterator[PictureAnswer]:
        """Ask several heads about many pictures: one answer for each, in the order in which they are ready.

        An image is what classify takes, or (key, image) with a key for its answer instead of its number. At most
        `in_flight` are taken from `images` and not handed back yet. `timeout_s` is for each picture;
        `on_outcome(key, outcome)` is told of each head before its picture is complete. A picture that fails, or
        that cannot be read, has its error in its answer. Where the service restarts, it goes on by itself, and raises
        UnreachableError where that is away for `patience_s`, or is not there at first. `max_points_lost` is as for
        analyze.
        """
        conversation = Conversation(heads, timeout_s, max_points_lost)
        stream = Stream(self.target, self._vision.AnalyzeStream, conversation, in_flight)
        with contextlib.closing(stream.answers(images, patience_s, on_outcome)) as answers:
            yield from answers

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
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout_s: float,
    ) -> Response:
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target, timeout_s) from None
