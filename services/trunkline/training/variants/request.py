"""What is asked for, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.variants import Agreement


@dataclass(frozen=True)
class VariantRequest:
    """head, like: NAME, for the default version, or NAME/VERSION. The spec is that of `like`.

    data: the data set that the head was measured on; None for a head without metrics. adapt: pictures without labels,
    on which the head is adapted to the spec: on three quarters of them where its answers are compared on the others.
    pictures: further ones to compare answers on. named: where each of both are from, for card and manifest.
    """

    head: str
    like: str
    data: Path | None = None
    adapt: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()
    named: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class VariantReport:
    """The version that was made. before, metrics: of the head under its own spec, and under the new one.

    agreement: without and with what was learned from pictures; None where nothing was, or none were asked about.
    """

    folder: Path
    spec: PreprocessSpec
    before: Mapping[str, float]
    metrics: Mapping[str, float]
    points_lost: float
    agreement: Agreement | None
    unadapted: Agreement | None
    fitted_on: int
