"""What a client gets back: frozen values. Results themselves are those of trunkline.core.results."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from trunkline.client.errors import ServiceError
from trunkline.core.results import Comparison, Result

R_co = TypeVar("R_co", bound=Result, covariant=True)


class ImageSize(NamedTuple):
    """Size of the picture in pixels, upright: after its EXIF orientation was applied."""

    width: int
    height: int


@dataclass(frozen=True)
class Timings:
    """Where the time of a request went, in milliseconds, as the gateway saw it."""

    queue_ms: float
    decode_ms: float
    backbone_ms: float
    head_ms: float
    total_ms: float


@dataclass(frozen=True)
class SingleAnswer(Generic[R_co]):
    """What one head answered about one picture, and the version that did."""

    head: str
    version: str
    result: R_co
    image_size: ImageSize
    timings: Timings


@dataclass(frozen=True)
class CompareAnswer:
    """How alike two pictures are, or a picture and a vector, and the version of the head that embedded."""

    head: str
    version: str
    result: Comparison
    timings: Timings


@dataclass(frozen=True)
class HeadOutcome:
    """What became of one head's question: just one of `result` and `error` is set.

    `head_ms` is the time in the head, `queue_ms` the part of it that was spent waiting.
    """

    head: str
    version: str
    result: Result | None
    error: ServiceError | None
    head_ms: float
    queue_ms: float = 0.0

    def value(self) -> Result:
        """The result. Raises the head's ServiceError where there is none."""
        if self.result is None:
            raise self.error or ServiceError("INTERNAL", "INTERNAL", f"head {self.head!r} gave no result")
        return self.result


class PassHead(NamedTuple):
    """A head that was answered from a pass, as it was asked, and the points that it loses under the spec of that."""

    head: str
    points_lost: float = 0.0


@dataclass(frozen=True)
class Pass:
    """What was made for one backbone and preprocessing spec, in milliseconds; no backbone where `backbone_ms` is 0.

    backbone: NAME/VERSION. spec: in words, such as "pad 480x352". heads: those that it was made for. An older service
    says none of these.
    """

    preprocess_fingerprint: str
    queue_ms: float
    decode_ms: float
    backbone_ms: float
    backbone: str = ""
    spec: str = ""
    heads: tuple[PassHead, ...] = ()


@dataclass(frozen=True)
class AnalyzeAnswer:
    """The outcomes of all heads that were asked about one picture, in the order of the question."""

    outcomes: tuple[HeadOutcome, ...]
    image_size: ImageSize
    timings: Timings
    backbone_passes: int
    passes: tuple[Pass, ...] = ()

    def __getitem__(self, head: str) -> HeadOutcome:
        """The outcome of the head of this name. Raises KeyError where it was not asked."""
        for outcome in self.outcomes:
            if outcome.head == head:
                return outcome
        raise KeyError(head)


@dataclass(frozen=True)
class PictureAnswer:
    """The end of one picture of a stream: just one of `answer` and `error` is set.

    `key` is what the caller named the picture, or its number in the stream, from 0.
    """

    key: Hashable
    answer: AnalyzeAnswer | None = None
    error: ServiceError | None = None

    def value(self) -> AnalyzeAnswer:
        """The answer. Raises the picture's ServiceError where there is none."""
        if self.answer is None:
            raise self.error or ServiceError("INTERNAL", "INTERNAL", f"picture {self.key!r} has no answer")
        return self.answer


class HeadVariant(NamedTuple):
    """A head under another preprocessing spec than its own, and the points that it loses so."""

    preprocess_fingerprint: str
    spec: str
    points_lost: float
    digest: str


@dataclass(frozen=True)
class ServedHead:
    """A head that a service offers, as its default version, or as one version of it.

    `fault` says why it cannot answer; empty where `ready` is true. A default version tells of the others: those
    that answer as NAME/VERSION, versions by alias, the canary with its share of the calls that name no version,
    and a warning where the catalog could not be followed. terms: what it may be used for, "" for unknown; `barred`
    where they are why it cannot answer. variants: further specs that it was measured under.
    """

    name: str
    version: str
    task: str
    digest: str
    backbone: str
    backbone_digest: str
    features: tuple[str, ...]
    preprocess_fingerprint: str
    labels: tuple[str, ...]
    mode: str
    ready: bool
    fault: str
    other_versions: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    canary_version: str = ""
    canary_share: float = 0.0
    warning: str = ""
    terms: str = ""
    barred: bool = False
    variants: tuple[HeadVariant, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """What a head is worth on data, through the serving path. metrics: by name; shares are 0 to 1.

    remarks: how many there are on the data, on what was read otherwise than it stands there, or left out.
    """

    head: str
    version: str
    data: str
    count: int
    metrics: Mapping[str, float]
    remarks: int = 0
