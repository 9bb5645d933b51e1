"""What a quantization is asked for, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.errors import InvalidRequestError
from trunkline.training.export.request import check_name

LEAST_PICTURES = 32  # to calibrate with, and as many to measure on


@dataclass(frozen=True)
class QuantizeRequest:
    """A backbone to bring into 8 bits.

    backbone, version: which; the highest version where none is named.
    pictures: files. Some are for calibration, others, at most `measured`, for measuring; the rest is not looked at.
    name: of the new backbone; by default the old one's with "-int8". Its version is the next free one.
    calibrated: pictures for calibration, at most half of all.
    float_layers: how many of the first convolutions stay in float32: their errors go through all the others.
    """

    backbone: str
    pictures: tuple[Path, ...]
    version: int | None = None
    name: str | None = None
    calibrated: int = 256
    measured: int = 500
    float_layers: int = 6

    @property
    def new_name(self) -> str:
        return self.name or f"{self.backbone}-int8"

    def check(self) -> None:
        """Raises InvalidRequestError for values with which nothing can be made."""
        check_name("--name", self.new_name)
        if self.calibrated < LEAST_PICTURES:
            raise InvalidRequestError(f"--pictures {self.calibrated} are too few: {LEAST_PICTURES} or more")
        if len(self.pictures) < 2 * LEAST_PICTURES:
            raise InvalidRequestError(
                f"{len(self.pictures)} pictures are too few: {LEAST_PICTURES} to calibrate with and as many others "
                "to measure on; name a folder with more, of the kind that the service will see"
            )


@dataclass(frozen=True)
class Measured:
    """Both backbones on pictures that were not calibrated with.

    cosines: by feature, mean over pictures. answers: by head, NAME/VERSION, the share of pictures with the same best
    class. speed: passes in 8 bits for one in float32, on one thread of this machine. sizes: bytes of both files.
    """

    pictures: int
    cosines: Mapping[str, float]
    answers: Mapping[str, float]
    speed: float
    vnni: bool
    sizes: tuple[int, int]


@dataclass(frozen=True)
class QuantizeReport:
    """What was written and measured. left_out: pictures that cannot be read."""

    backbone: Path
    digest: str
    measured: Measured
    left_out: int
    duration_s: float
