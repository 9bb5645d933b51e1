"""What detection is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from trunkline.core.colours import colour_of
from trunkline.core.figures import percent
from trunkline.core.params import Option, Params
from trunkline.core.results import Box, Detection, Detections, RunLengthMask, ScoredLabel
from trunkline.core.task import (
    BaseTask,
    Call,
    Canvas,
    Column,
    Metric,
    Part,
    Row,
    Swatch,
    Tensor,
    Training,
    named,
    named_part,
)

if TYPE_CHECKING:
    import numpy as np

_LEAST_EXPLAINED = 0.02  # score of an object that is looked for where a part of its picture is hidden


class DetectParams(Params):
    """What is not given is as the settings of the bundle say."""

    score_threshold: Annotated[
        float | None, Option("Lowest score of an object.", low=0, high=1, flag="--score", metavar="S")
    ] = None
    nms_iou: Annotated[
        float | None,
        Option("Of boxes that overlap by more than this, only the best is answered.", low=0, high=1, metavar="IOU"),
    ] = None
    max_detections: Annotated[
        int | None, Option("Most objects in the answer.", low=1, high=1000, flag="--max", metavar="N")
    ] = None
    classes: Annotated[
        tuple[str, ...], Option("Only objects of this class; may be repeated.", flag="--class", metavar="NAME")
    ] = ()
    masks: Annotated[
        bool | None, Option("Also answer outlines, if the head gives them.", flag="--masks/--no-masks")
    ] = None


class Task(BaseTask[Detections]):
    """The objects of a picture."""

    result = Detections
    field = "detections"
    params = DetectParams
    call = Call(
        "Detect",
        "Find objects in images; --draw puts boxes, classes and outlines on the image.",
        "The objects of a picture, best first, with boxes in pixels of the upright picture; none may be there.\n\n"
        "What is left out, or None, is as the head says.",
    )
    tensors = (Tensor("boxes", "FP32", (-1, 4)), Tensor("scores", "FP32", (-1,)), Tensor("labels", "BYTES", (-1,)))
    is_long = True
    columns = (
        Column("object"),
        Column("score", right=True),
        Column("left, top", right=True),
        Column("right, bottom", right=True),
    )
    metrics: ClassVar = (Metric("ap50", decides=True), *named(("ap", "ap75", "mask_ap", "mask_ap50")))
    training = Training(
        losses=("cross_entropy", "focal"),
        nets=("one-stage", "two-stage", "yolo", "svm-rcnn"),
        chooses_net=True,
        sizes=("light", "medium", "large"),
        teachable=True,
    )
    truth = "objects"
    merges_classes = True

    def fill(self, message: Any, result: Detections) -> None:
        for found in result.objects:
            made = message.objects.add(box=vars(found.box), label=vars(found.label))
            if found.mask is not None:
                mask = made.mask
                mask.width, mask.height, mask.counts = found.mask.width, found.mask.height, found.mask.counts

    def read(self, message: Any) -> Detections:
        return Detections(tuple(map(_object, message.objects)))

    def tensors_of(self, result: Detections) -> dict[str, "np.ndarray | list[str]"]:
        import numpy as np

        boxes = [(found.box.x_min, found.box.y_min, found.box.x_max, found.box.y_max) for found in result.objects]
        return {
            "boxes": np.array(boxes, np.float32).reshape(-1, 4),  # (M, 4)
            "scores": np.array([found.label.score for found in result.objects], np.float32),  # (M,)
            "labels": [found.label.label for found in result.objects],  # (M,)
        }

    def rows(self, result: Detections) -> Sequence[tuple[str, ...]]:
        return [_row(found) for found in result.objects] or [("nothing found", "", "", "")]

    def summary(self, result: Detections) -> Sequence[tuple[str, str]]:
        return [(found.label.label, percent(found.label.score)) for found in result.objects] or [("nothing", "")]

    def panel(self, result: Detections) -> Sequence[Row]:
        """How many there are of each class, in the order in which their best ones come."""
        counts = Counter((found.label.index, found.label.label) for found in result.objects)
        return [Swatch(colour_of(index), label, str(count)) for (index, label), count in counts.items()]

    def paint(self, canvas: Canvas, result: Detections) -> None:
        from trunkline.heads.detection.draw import draw_objects

        draw_objects(canvas, result.objects)

    def renamed(self, result: Detections, labels: Sequence[tuple[int, str]]) -> Detections:
        return Detections(
            tuple(
                replace(found, label=ScoredLabel(*labels[found.label.index], found.label.score))
                for found in result.objects
            )
        )

    def to_be_explained(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"score_threshold": _LEAST_EXPLAINED, "masks": False}

    def part_of(self, result: Detections, target: str, other: Detections | None = None) -> Part[Detections]:
        """The best object of a class, by the overlap of the best one that is found there, times its score.

        Source: Petsiuk et al., Black-box Explanation of Object Detectors via Saliency Maps, 2021, section 3.3.
        """
        names = list(dict.fromkeys(each.label.label for each in result.objects))
        name = named_part("object", target, names)
        known = next(each for each in result.objects if each.label.label == name)

        def strength(answer: Detections) -> float:
            same = (each for each in answer.objects if each.label.index == known.label.index)
            return max((_overlap(each.box, known.box) * each.label.score for each in same), default=0.0)

        return Part(known.label.label, strength)


def _object(found: Any) -> Detection:
    box, label, mask = found.box, found.label, found.mask
    return Detection(
        Box(box.x_min, box.y_min, box.x_max, box.y_max),
        ScoredLabel(label.index, label.label, label.score),
        RunLengthMask(mask.width, mask.height, mask.counts) if found.HasField("mask") else None,
    )


def _row(found: Detection) -> tuple[str, ...]:
    box = found.box
    corners = f"{box.x_min:.0f}, {box.y_min:.0f}", f"{box.x_max:.0f}, {box.y_max:.0f}"
    return found.label.label, percent(found.label.score), *corners


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x_max, other.x_max) - max(one.x_min, other.x_min)
    height = min(one.y_max, other.y_max) - max(one.y_min, other.y_min)
    common = max(0.0, width) * max(0.0, height)
    union = _area(one) + _area(other) - common
    return common / union if union else 0.0


def _area(box: Box) -> float:
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)
