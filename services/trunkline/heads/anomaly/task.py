"""What anomaly is: how far a picture is from the good ones, and where."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from trunkline.core.figures import percent
from trunkline.core.params import Option, Params
from trunkline.core.results import Result
from trunkline.core.task import BaseTask, Call, Canvas, Column, Metric, Part, Row, Tensor, Training, named, named_part

if TYPE_CHECKING:
    import numpy as np

_SCORE = "score"
PLACE_LIMIT = 128  # gray of a place as far from the good ones as the limit of a place
_HALF, _TWICE = 85, 171  # gray at half of that limit, from which a place shows on a picture, and at twice of it
_STRENGTH = 0.7  # of the colour of a place beyond its limit
_NEAR, _FAR = (255, 208, 0), (220, 0, 40)  # colours up to the limit of a place and beyond it


@dataclass(frozen=True)
class Anomaly(Result):
    """score: distance from the good pictures as a share of the limit. anomalous: whether it reaches the limit.

    good_share: of the good pictures that were held back, how many score as high, 0 to 1. area: share of the picture
    beyond the limit of a place, 0 to 1. heat_map_png: 8-bit gray in the size of the upright picture, 256 d / (d + 1)
    for d times that limit, so 128 at it; b"" where it was not asked for.
    """

    score: float
    anomalous: bool
    good_share: float
    area: float
    heat_map_png: bytes = b""


class AnomalyParams(Params):
    threshold: Annotated[
        float, Option("Score from which an image is anomalous; 1 is the head's own limit.", low=0, metavar="S")
    ] = 1.0
    heat_map: Annotated[
        bool, Option("Also answer how far each place is, as a gray PNG.", flag="--heat-map/--no-heat-map")
    ] = True


class AnomalyOptions(Params):
    false_alarms: Annotated[
        float, Option("Share of good images that may be called anomalous.", low=0.0001, high=0.5, metavar="SHARE")
    ] = 0.01


class Task(BaseTask[Anomaly]):
    """How far a picture is from the good ones."""

    result = Anomaly
    field = "anomaly"
    params = AnomalyParams
    call = Call(
        "Anomaly",
        "Say whether images are like the good ones that were learned; --draw shows where they are not.",
        "How far an image is from the good ones that the head has learned, whether that is too far, and where.",
    )
    tensors = (Tensor("score", "FP32", ()), Tensor("good_share", "FP32", ()), Tensor("area", "FP32", ()))
    is_long = True
    columns = (
        Column("verdict"),
        Column("score", right=True),
        Column("good images that score as high", right=True),
        Column("beyond the limit, of the image", right=True),
    )
    covers = True
    saved, suffix = "heat maps", ".png"
    metrics: ClassVar = (
        Metric("image_auroc", decides=True),
        *named(("pixel_auroc", "pro", "found")),
        Metric("false_alarms", higher_is_better=False, decides=True),  # of those measured on good pictures alone
    )
    training = Training(nets=("gaussian", "patches", "autoencoder"), chooses_net=True, options=AnomalyOptions)
    truth = "flaws"

    def fill(self, message: Any, result: Anomaly) -> None:
        message.score, message.anomalous = result.score, result.anomalous
        message.good_share, message.area = result.good_share, result.area
        message.heat_map_png = result.heat_map_png

    def read(self, message: Any) -> Anomaly:
        return Anomaly(message.score, message.anomalous, message.good_share, message.area, message.heat_map_png)

    def tensors_of(self, result: Anomaly) -> dict[str, "np.ndarray | list[str]"]:
        import numpy as np

        return {each.name: np.array(getattr(result, each.name), np.float32) for each in self.tensors}

    def rows(self, result: Anomaly) -> Sequence[tuple[str, ...]]:
        return [(_verdict(result), f"{result.score:.2f}", percent(result.good_share), percent(result.area))]

    def summary(self, result: Anomaly) -> Sequence[tuple[str, str]]:
        return [(_verdict(result), f"{result.score:.2f} of the limit")]

    def panel(self, result: Anomaly) -> Sequence[Row]:
        return [
            f"{_verdict(result)}: {result.score:.2f} of the limit",
            f"{percent(result.good_share)} of good images score as high",
        ]

    def paint(self, canvas: Canvas, result: Anomaly) -> None:
        """Yellow to the limit of a place, red beyond; what is nearer to the good pictures stays as it is."""
        from PIL import Image

        if not result.heat_map_png:
            return
        with Image.open(io.BytesIO(result.heat_map_png)) as heat:
            gray = heat.resize(canvas.picture.size, Image.Resampling.BILINEAR)
        for colour, begin, end in ((_NEAR, _HALF, PLACE_LIMIT), (_FAR, PLACE_LIMIT, _TWICE)):
            alpha = gray.point([round(255 * _STRENGTH * _part(value, begin, end)) for value in range(256)])
            canvas.picture.paste(colour, (0, 0), alpha)

    def to_be_explained(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """It takes the score alone."""
        return {**params, "heat_map": False}

    def part_of(self, result: Anomaly, target: str, other: Anomaly | None = None) -> Part[Anomaly]:
        """The score, which is all that there is: what is hidden where it falls made the image anomalous."""
        return Part(named_part("target", target, [_SCORE]), lambda answer: answer.score)

    def to_be_drawn(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """It takes the heat map."""
        return {**params, "heat_map": True}

    def file_of(self, result: Anomaly) -> bytes:
        """A gray PNG: 128 for the limit of a place."""
        return result.heat_map_png


def _verdict(result: Anomaly) -> str:
    return "anomalous" if result.anomalous else "good"


def _part(value: int, begin: int, end: int) -> float:
    """How far a value is on the way from begin to end, 0 to 1."""
    return min(1.0, max(0.0, (value - begin) / (end - begin)))
