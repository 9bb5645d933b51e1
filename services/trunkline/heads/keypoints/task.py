"""What keypoints are: named points of an object, each with a score and whether it is seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from trunkline.core.colours import colour_of
from trunkline.core.figures import percent
from trunkline.core.params import Option, Params
from trunkline.core.results import Result
from trunkline.core.task import BaseTask, Call, Canvas, Column, Metric, Row, Swatch, Tensor, Training, named

if TYPE_CHECKING:
    import numpy as np

_LISTED = 20  # points below a picture
HIDDEN = 0.5  # probability below which a point counts as hidden


@dataclass(frozen=True)
class Keypoint:
    """x, y: in pixels of the upright picture, (0, 0) the outer corner of its top-left pixel; may lie outside of it.

    score: how sure the head is of the place, 0 to 1. visibility: probability that the point is seen, not hidden.
    """

    name: str
    x: float
    y: float
    score: float
    visibility: float


@dataclass(frozen=True)
class KeypointObject:
    """An object with its points, in the order of the head's. score: mean of all of them, before any is left out."""

    points: tuple[Keypoint, ...]
    score: float


@dataclass(frozen=True)
class Keypoints(Result):
    """One object, which fills the picture. skeleton: names of points between which a line is drawn."""

    objects: tuple[KeypointObject, ...]
    skeleton: tuple[tuple[str, str], ...] = ()


class KeypointsParams(Params):
    """Without a threshold all points are answered."""

    score_threshold: Annotated[
        float | None,
        Option("Least score of a point; the others are left out.", low=0, high=1, flag="--score", metavar="S"),
    ] = None


class KeypointsOptions(Params):
    distance: Annotated[
        str,
        Option(
            "Errors are shares of the distance of these two points; by default as the data says, or of the box.",
            metavar="A,B",
        ),
    ] = ""
    flip: Annotated[
        str,
        Option(
            "Points that change places in a mirrored image; by default as the data or names with left and right say.",
            metavar="A:B,C:D",
        ),
    ] = ""


class Task(BaseTask[Keypoints]):
    """Named points of an object."""

    result = Keypoints
    field = "keypoints"
    params = KeypointsParams
    call = Call(
        "Keypoints",
        "Find named points of an object in images; --draw puts points and skeleton on the image.",
        "The named points of the object that fills the picture, in pixels of the upright picture.",
    )
    tensors = (Tensor("points", "FP32", (-1, 4)), Tensor("names", "BYTES", (-1,)))
    columns = (
        Column("point"),
        Column("x", right=True),
        Column("y", right=True),
        Column("score", right=True),
        Column("visible", right=True),
    )
    metrics: ClassVar = (
        Metric("nme", higher_is_better=False, relative=True, decides=True),
        Metric("oks_ap", decides=True),
        *named(("pck", "oks_ap50", "oks_ap75")),
    )
    training = Training(nets=(), sizes=("light", "medium", "large"), options=KeypointsOptions)
    truth = "points"

    def fill(self, message: Any, result: Keypoints) -> None:
        for each in result.objects:
            made = message.objects.add(score=each.score)
            for point in each.points:
                made.points.add(**vars(point))
        for start, end in result.skeleton:
            message.skeleton.add(start=start, end=end)

    def read(self, message: Any) -> Keypoints:
        return Keypoints(
            tuple([KeypointObject(tuple(map(_point, each.points)), each.score) for each in message.objects]),
            tuple([(line.start, line.end) for line in message.skeleton]),
        )

    def tensors_of(self, result: Keypoints) -> dict[str, "np.ndarray | list[str]"]:
        """points: x, y, score and visibility of each."""
        import numpy as np

        points = _points(result)
        values = [(each.x, each.y, each.score, each.visibility) for each in points]
        return {
            "points": np.array(values, np.float32).reshape(-1, 4),  # (M, 4)
            "names": [each.name for each in points],  # (M,)
        }

    def rows(self, result: Keypoints) -> Sequence[tuple[str, ...]]:
        found = [
            (each.name, f"{each.x:.1f}", f"{each.y:.1f}", percent(each.score), percent(each.visibility))
            for each in _points(result)
        ]
        return found or [("no point", "", "", "", "")]

    def summary(self, result: Keypoints) -> Sequence[tuple[str, str]]:
        return [(_count(len(each.points)), f"mean score {percent(each.score)}") for each in result.objects]

    def panel(self, result: Keypoints) -> Sequence[Row]:
        """The points by name where they are few."""
        points = _points(result)
        if len(points) > _LISTED:
            return [f"{count}: {score}" for count, score in self.summary(result)]
        return [Swatch(colour_of(place), each.name, percent(each.score)) for place, each in enumerate(points)]

    def paint(self, canvas: Canvas, result: Keypoints) -> None:
        from trunkline.heads.keypoints.draw import draw_points

        draw_points(canvas, result)


def _points(result: Keypoints) -> list[Keypoint]:
    return [point for each in result.objects for point in each.points]


def _point(message: Any) -> Keypoint:
    return Keypoint(message.name, message.x, message.y, message.score, message.visibility)


def _count(number: int) -> str:
    return f"{number} point{'' if number == 1 else 's'}"
