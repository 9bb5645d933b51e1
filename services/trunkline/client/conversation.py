"""A stream of pictures as the client sees it: what was asked and is not answered yet. Both clients share it."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.client import messages
from trunkline.client.answers import HeadOutcome, PictureAnswer
from trunkline.client.encode import ImageLike
from trunkline.client.errors import ServiceError, from_head_error, from_rpc_error

Key: TypeAlias = Hashable
OnOutcome = Callable[[Key, HeadOutcome], None]
PictureLike = ImageLike | tuple[Key, ImageLike]
IN_FLIGHT = 16
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Told:
    """One head's outcome, before its picture has all."""

    key: Key
    outcome: HeadOutcome


@dataclass
class _Open:
    key: Key
    request: pb.AnalyzeStreamRequest
    outcomes: dict[str, HeadOutcome] = field(default_factory=dict)


class Conversation:
    """Pictures that were asked about, by a number that grows; that number is their id on the wire."""

    def __init__(
        self, heads: Sequence[messages.HeadLike], timeout_s: float, max_points_lost: float | None = None
    ) -> None:
        """Raises TypeError for a single string, InvalidRequestError for parameters that JSON does not have."""
        self._heads = messages.head_requests(heads)
        self._timeout_s, self._max_points_lost = timeout_s, max_points_lost
        self._open: dict[int, _Open] = {}
        self._last = 0

    @property
    def answered(self) -> bool:
        """Whether nothing is open."""
        return not self._open

    def ask(self, key: Key, image: bytes) -> None:
        """Add a picture."""
        self._last += 1
        request = messages.stream_request(str(self._last), image, self._heads, self._timeout_s, self._max_points_lost)
        self._open[self._last] = _Open(key, request)

    def next_after(self, number: int) -> tuple[int, pb.AnalyzeStreamRequest] | None:
        """The first open picture above this number; a new stream begins at 0 and so sends all that is open again."""
        return next(((each, self._open[each].request) for each in list(self._open) if each > number), None)

    def take(self, message: pb.AnalyzeStreamResponse) -> Told | PictureAnswer | None:
        """What a message says; None for what is not known here, or was said before a stream broke off."""
        number = int(message.id)
        asked = self._open.get(number)
        if asked is None:
            return None
        match message.WhichOneof("event"):
            case "outcome":
                return _told(asked, messages.head_outcome(message.outcome))
            case "done":
                del self._open[number]
                outcomes = [asked.outcomes[ask.head] for ask in self._heads]
                return PictureAnswer(asked.key, messages.picture_answer(outcomes, message.done))
            case "error":
                del self._open[number]
                return PictureAnswer(asked.key, error=from_head_error(message.error))
            case _:
                return None


def keyed(number: int, picture: PictureLike) -> tuple[Key, ImageLike]:
    """The key of a picture, its number in the stream where it has none, and the picture itself."""
    return picture if isinstance(picture, tuple) else (number, picture)


def unreadable(key: Key, error: OSError | ServiceError) -> PictureAnswer:
    """The answer about a picture that cannot be sent."""
    if isinstance(error, OSError):
        error = ServiceError("INVALID_ARGUMENT", "UNREADABLE_FILE", str(error))
    return PictureAnswer(key, error=error)


def explained(error: grpc.RpcError, target: str, timeout_s: float) -> ServiceError:
    """The error of a stream. One that a stopping service cut off is UNAVAILABLE, as its end is."""
    found = from_rpc_error(error, target, timeout_s)
    if found.code != "CANCELLED":
        return found
    return ServiceError("UNAVAILABLE", "UNAVAILABLE", f"{target} ended the stream early", found.metadata)


def ended_early(target: str) -> ServiceError:
    return ServiceError("INTERNAL", "INTERNAL", f"{target} ended the stream before it had answered every picture")


def _told(asked: _Open, outcome: HeadOutcome) -> Told | None:
    again = outcome.head in asked.outcomes
    asked.outcomes[outcome.head] = outcome
    return None if again else Told(asked.key, outcome)
