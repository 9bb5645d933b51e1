"""What passes between gateway, backbone and heads, and the two ports that it passes through.

Each port has two implementations, one in the same process and one over gRPC; the gateway knows only the ports,
which is why all-in-one and split give the same answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from trunkline.core.bundle import FeatureSpec
from trunkline.core.explaining import PixelMask, PlacesAnswer
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import Result
from trunkline.core.shared_picture import SharedPicture
from trunkline.core.terms import Terms

IMAGE = "image"  # the feature that is the preprocessed pixels themselves, uint8 (1, H, W, C)


class Held(Protocol):
    """Memory outside of this process that is kept until it is released, or nothing refers to this any more."""

    def release(self) -> None:
        """More than once does no harm."""
        ...


@dataclass(frozen=True, eq=False)
class RemoteFeature:
    """A feature whose numbers are in another process: the gateway hands it on as it came and cannot look inside.

    `message` is what `serving.wire` made of it, and nobody else reads it. Where the numbers are in shared memory,
    `held` keeps them there, as one for all features of a pass.
    """

    message: bytes
    held: Held | None = None


Feature: TypeAlias = np.ndarray | RemoteFeature


@dataclass(frozen=True)
class BackboneInfo:
    """A backbone that is served."""

    name: str
    version: str
    digest: str
    features: tuple[FeatureSpec, ...]

    @property
    def label(self) -> str:
        """As NAME/VERSION."""
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class FeatureRequest:
    """An encoded picture, how to preprocess it, and the names of the features wanted of a backbone.

    `backbone_digest` says which; where it is empty, the first one that its source describes.
    Where it is not `required`, only heads wait for it that their call can do without: under pressure it goes first.
    `arenas` are those that every head of this pass can read; features may then be left in one of them.
    `shared` is there where other requests of the call have the same picture.
    `quick` heads may be answered by whoever makes the features, on its thread: what came of them is in
    `Features.answers`. Others (the features were made before, or in another process) are asked as any head.
    `mask` hides parts of the pixels; such features are not kept.
    """

    image: bytes
    spec: PreprocessSpec
    features: tuple[str, ...]
    required: bool = True
    arenas: frozenset[str] = frozenset()
    backbone_digest: str = ""
    shared: SharedPicture | None = None
    quick: "tuple[QuickHead, ...]" = ()
    mask: PixelMask | None = None


class Selectable(Protocol):
    """Arrays that can stay where they are, on a device, when some of them are passed on."""

    def select(self, names: Sequence[str]) -> "Mapping[str, Feature]":
        """Those of these names. Raises KeyError."""
        ...


def select(arrays: "Mapping[str, Feature]", names: Sequence[str]) -> "Mapping[str, Feature]":
    """The arrays of these names, nothing copied. Raises KeyError. `arrays` may be Selectable."""
    # Not isinstance: with a protocol that costs more than all else between pass and head.
    own = None if type(arrays) is dict else getattr(arrays, "select", None)
    return {name: arrays[name] for name in names} if own is None else cast("Selectable", arrays).select(names)


@dataclass(frozen=True)
class Features:
    """Arrays by name, each with a batch axis of 1, and where the time went (milliseconds).

    `cached` ones cost this request no decode and no pass: they were kept, or come from a pass that another request
    had begun. Their arrays are shared, so read-only.
    The arrays are numpy's where the backbone is in this process, or on a device until they are read (see `select`);
    RemoteFeatures where it is not.
    `answers` are those of quick heads of the request, by the names that they were asked by.
    """

    arrays: Mapping[str, Feature]
    frame: Frame
    backbone_digest: str
    queue_ms: float
    decode_ms: float
    backbone_ms: float
    cached: bool = False
    held: Held | None = None
    answers: "Mapping[str, QuickAnswer]" = field(default_factory=dict)

    def after(self, queue_ms: float) -> "Features":
        """The same, for whoever waited that long for them."""
        return Features(
            self.arrays,
            self.frame,
            self.backbone_digest,
            queue_ms,
            self.decode_ms,
            self.backbone_ms,
            self.cached,
            self.held,
            self.answers,
        )

    def release(self) -> None:
        """Nobody needs these any more. Not left to the garbage alone: an error that is raised keeps much alive."""
        if self.held is not None:
            self.held.release()


@dataclass(frozen=True)
class Routes:
    """How the versions of a head are reached besides the default one.

    `others` are the further versions that can be asked for; `canary` is one of them, with the share of the calls
    that name no version (0 for none), and so is the version of each alias, or it is the default.
    `warning` says what of the catalog could not be followed; empty where all was.
    """

    others: "tuple[HeadInfo, ...]" = ()
    canary: str = ""
    canary_share: float = 0.0
    aliases: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""


@dataclass(frozen=True)
class HeadInfo:
    """A head as it is served. `fault` says why it cannot answer; empty where it can.

    terms: what it may be used for; None where nobody has said it. barred: whether they are why it cannot answer here.
    Its default version has `routes` to the others. `variants` are itself under further specs. Of these each has its
    `variant`, the fingerprint of that spec, "" for the head under its own, and the points that it loses against that.
    """

    name: str
    version: str
    task: str
    digest: str
    backbone: str
    backbone_digest: str
    features: tuple[str, ...]
    spec: PreprocessSpec
    mode: str
    labels: tuple[str, ...] = ()
    fault: str = ""
    routes: Routes = Routes()
    terms: Terms | None = None
    barred: bool = False
    variants: "tuple[HeadInfo, ...]" = ()
    variant: str = ""
    points_lost: float = 0.0


@dataclass(frozen=True)
class HeadQuestion:
    """The features of one picture for one version of a head (the default where it is empty), with parameters.

    Where it is not `required`, its call can do without the answer: under pressure it goes first. `variant`: as in
    HeadInfo, where the features were made under a spec of one.
    """

    head: str
    features: Mapping[str, Feature]
    frame: Frame
    backbone_digest: str
    params: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    required: bool = True
    variant: str = ""


@dataclass(frozen=True, eq=False)
class RemoteResult:
    """A result of another process: handed on as it came, until somebody looks inside.

    `message` is what `serving.wire_results` puts into answers, and nobody else reads it. `read` raises
    InvalidRequestError for one that cannot be.
    """

    message: Any
    read: Callable[[], Result]


@dataclass(frozen=True)
class HeadAnswer:
    """A result, the version that gave it, and its time in the head, waiting and running (milliseconds).

    `queue_ms` is the part of it that was spent waiting.
    """

    result: Result | RemoteResult
    version: str
    head_ms: float
    queue_ms: float = 0.0

    def read(self) -> Result:
        """The result itself, wherever it came from."""
        return self.result.read() if isinstance(self.result, RemoteResult) else self.result


AnswerNow: TypeAlias = Callable[[Features], HeadAnswer]


@dataclass(frozen=True)
class QuickHead:
    """A head that takes less than the way to another thread. `answer` raises what `HeadRunner.predict` does."""

    asked: str
    info: HeadInfo
    answer: AnswerNow


@dataclass(frozen=True)
class QuickAnswer:
    """What became of a quick head, an answer or an error, and its time (seconds)."""

    info: HeadInfo
    answer: HeadAnswer | None
    error: Exception | None
    took_s: float


def local_arrays(features: Mapping[str, Feature]) -> Mapping[str, np.ndarray]:
    """The same features, for the process that made or received them: no RemoteFeature is among them there.

    They are not looked at, which could cost a copy where they are not in this process's own memory.
    """
    return cast("Mapping[str, np.ndarray]", features)


class FeatureSource(Protocol):
    """Backbones of one process, this one or another."""

    async def describe(self) -> Sequence[BackboneInfo]:
        """Those that it serves now. Raises ServiceUnavailableError where it does not answer."""
        ...

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        """One decode and one pass.

        Raises BackboneMismatchError for a backbone that is not served, InvalidRequestError, QueueFullError,
        DeadlineError and others.
        """
        ...


class HeadRunner(Protocol):
    """A process with heads, this one or another."""

    @property
    def arenas(self) -> frozenset[str]:
        """Ids of the arenas of shared features that it can read, as far as is known; none in the same process."""
        ...

    async def describe(self) -> Sequence[HeadInfo]:
        """The default version of each head. Raises ServiceUnavailableError where it does not answer."""
        ...

    def quick(self, head: HeadInfo, params: Mapping[str, Any]) -> AnswerNow | None:
        """How to answer on the thread that made the features, for a head that takes less than the way to another.

        None where it takes longer, or is elsewhere.
        """
        ...

    async def predict(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        """Raises NotFoundError, BackboneMismatchError, InvalidRequestError, QueueFullError and others."""
        ...

    def is_cheaper_together(self, question: HeadQuestion) -> bool:
        """Whether it is better asked with others about the same pass, as the way to the head takes longer than it."""
        ...

    async def predict_all(
        self, questions: Sequence[HeadQuestion], timeout_s: float | None
    ) -> "Sequence[HeadAnswer | Exception]":
        """An answer, or what it failed with, for each of several questions about one pass, when all are there.

        Raises what costs all of them.
        """
        ...

    async def explain(
        self, question: HeadQuestion, target: str, reference: Sequence[float], timeout_s: float | None
    ) -> PlacesAnswer:
        """What each place of a map adds to the answer about its mean, the one vector that the head takes.

        question: its features are the vector and the map. target: what of the answer; the best one where it is empty.
        reference: for a head that embeds, the direction that is explained; its own where it is empty.
        Raises as predict does, and InvalidRequestError for a target that the head does not have.
        """
        ...
