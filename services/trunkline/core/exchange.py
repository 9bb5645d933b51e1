"""What passes between gateway, backbone and heads, and the two ports that it passes through.

Each port has two implementations, one in the same process and one over gRPC; the gateway knows only the ports,
which is why all-in-one and split give the same answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from trunkline.core.bundle import FeatureSpec
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import Result

IMAGE = "image"  # the feature that is the preprocessed pixels themselves, uint8 (1, H, W, C)


@dataclass(frozen=True)
class BackboneInfo:
    """Which backbone a process serves."""

    name: str
    version: str
    digest: str
    features: tuple[FeatureSpec, ...]


@dataclass(frozen=True)
class FeatureRequest:
    """An encoded picture, how to preprocess it, and the names of the features wanted.

    Where it is not `required`, only heads wait for it that their call can do without: under pressure it goes first.
    """

    image: bytes
    spec: PreprocessSpec
    features: tuple[str, ...]
    required: bool = True


@runtime_checkable
class Selectable(Protocol):
    """Arrays that can stay where they are, on a device, when some of them are passed on."""

    def select(self, names: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Those of these names. Raises KeyError."""
        ...


def select(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> Mapping[str, np.ndarray]:
    """The arrays of these names, nothing copied. Raises KeyError."""
    return arrays.select(names) if isinstance(arrays, Selectable) else {name: arrays[name] for name in names}


@dataclass(frozen=True)
class Features:
    """Arrays by name, each with a batch axis of 1, and where the time went (milliseconds).

    `cached` ones cost this request no decode and no pass: they were kept, or come from a pass that another request
    had begun. Their arrays are shared, so read-only.
    Arrays may be on a device until they are read: see `select`.
    """

    arrays: Mapping[str, np.ndarray]
    frame: Frame
    backbone_digest: str
    queue_ms: float
    decode_ms: float
    backbone_ms: float
    cached: bool = False


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

    Its default version has `routes` to the others.
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


@dataclass(frozen=True)
class HeadQuestion:
    """The features of one picture for one version of a head (the default where it is empty), with parameters.

    Where it is not `required`, its call can do without the answer: under pressure it goes first.
    """

    head: str
    features: Mapping[str, np.ndarray]
    frame: Frame
    backbone_digest: str
    params: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    required: bool = True


@dataclass(frozen=True)
class HeadAnswer:
    """A result, the version that gave it, and its time in the head, waiting and running (milliseconds).

    `queue_ms` is the part of it that was spent waiting.
    """

    result: Result
    version: str
    head_ms: float
    queue_ms: float = 0.0


class FeatureSource(Protocol):
    """A backbone, here or elsewhere."""

    async def describe(self) -> BackboneInfo:
        """Raises ServiceUnavailableError where it does not answer."""
        ...

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        """One decode and one pass. Raises InvalidRequestError, QueueFullError, DeadlineError and others."""
        ...


class HeadRunner(Protocol):
    """A process with heads, this one or another."""

    async def describe(self) -> Sequence[HeadInfo]:
        """The default version of each head. Raises ServiceUnavailableError where it does not answer."""
        ...

    async def predict(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        """Raises NotFoundError, BackboneMismatchError, InvalidRequestError, QueueFullError and others."""
        ...
