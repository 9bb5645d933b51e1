"""What segmentation is."""

import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from trunkline.core.figures import percent
from trunkline.core.params import Option, Params
from trunkline.core.results import RunLengthMask, Segmentation, SegmentClass
from trunkline.core.task import (
    BaseTask,
    Call,
    Canvas,
    Column,
    Metric,
    Part,
    Row,
    Swatch,
    Training,
    Weights,
    named,
    named_part,
)

_COLOURS = 0.55  # share of the classes' colours on a picture


class SegmentParams(Params):
    """format: the label map as PNG, a run-length mask for each class, or both."""

    format: Annotated[
        Literal["png", "rle", "both"],
        Option("Answer a label map (png), run lengths per class (rle), or both.", argument="masks"),
    ] = "png"
    confidence_map: Annotated[bool, Option("Also answer the probability of each pixel's class, as a gray PNG.")] = (
        False
    )


class Task(BaseTask[Segmentation]):
    """A class for every pixel of a picture."""

    result = Segmentation
    field = "segmentation"
    params = SegmentParams
    call = Call(
        "Segment",
        "Give every pixel of an image a class; --draw lays the classes over the image, with a legend.",
        "A class for every pixel, in the size of the upright picture.",
    )
    is_long = True
    columns = (Column("class"), Column("of the picture", right=True), Column("mean probability", right=True))
    covers = True
    saved, suffix = "label maps", ".png"
    metrics: ClassVar = (Metric("mean_iou", decides=True), *named(("global_accuracy", "mean_class_accuracy")))
    training = Training(
        losses=("cross_entropy", "dice", "focal", "combined"),
        nets=("segnet",),
        decoders=("light", "unet", "fpn", "deeplabv3plus", "pan", "upernet"),
        sizes=("light", "medium", "large"),
        weights=Weights(
            "scratch",
            "large",
            "a file of VGG16 fits SegNet in its size large only: --task segmentation --mode scratch --size large",
        ),
    )
    truth = "masks"

    def fill(self, message: Any, result: Segmentation) -> None:
        message.label_map_png = result.label_map_png
        message.confidence_map_png = result.confidence_map_png
        for part in result.classes:
            made = message.classes.add(index=part.index, label=part.label, area=part.area, confidence=part.confidence)
            if part.mask is not None:
                mask = made.mask
                mask.width, mask.height, mask.counts = part.mask.width, part.mask.height, part.mask.counts

    def read(self, message: Any) -> Segmentation:
        return Segmentation(message.label_map_png, tuple(map(_class, message.classes)), message.confidence_map_png)

    def rows(self, result: Segmentation) -> Sequence[tuple[str, ...]]:
        return [(part.label, percent(part.area), percent(part.confidence)) for part in result.classes]

    def summary(self, result: Segmentation) -> Sequence[tuple[str, str]]:
        return [(part.label, f"{percent(part.area)} of it") for part in result.classes]

    def panel(self, result: Segmentation) -> Sequence[Row]:
        if not result.label_map_png:
            return ()
        colours = _palette(result.label_map_png)
        return [Swatch(colours[part.index], part.label, percent(part.area)) for part in result.classes]

    def paint(self, canvas: Canvas, result: Segmentation) -> None:
        from PIL import Image

        if not result.label_map_png:
            return
        with Image.open(io.BytesIO(result.label_map_png)) as labels:
            colours = labels.resize(canvas.picture.size, Image.Resampling.NEAREST).convert("RGB")
        canvas.picture = Image.blend(canvas.picture, colours, _COLOURS)

    def to_be_drawn(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """It takes the label map."""
        return {**params, "format": "both"} if params.get("format") == "rle" else dict(params)

    def file_of(self, result: Segmentation) -> bytes:
        """An indexed PNG, of which the value of a pixel is the index of its class."""
        return result.label_map_png

    def part_of(self, result: Segmentation, target: str, other: Segmentation | None = None) -> Part[Segmentation]:
        """A class, by the area that it still has, of what it had, times how sure that is."""
        names = [part.label for part in result.classes]
        name = named_part("class", target, names)
        known = next(part for part in result.classes if part.label == name)

        def strength(answer: Segmentation) -> float:
            found = next((part for part in answer.classes if part.index == known.index), None)
            return 0.0 if found is None else found.confidence * min(1.0, found.area / max(known.area, 1e-9))

        return Part(known.label, strength)


def _class(part: Any) -> SegmentClass:
    mask = part.mask
    found = RunLengthMask(mask.width, mask.height, mask.counts) if part.HasField("mask") else None
    return SegmentClass(part.index, part.label, part.area, part.confidence, found)


def _palette(label_map_png: bytes) -> list[tuple[int, int, int]]:
    """RGB by the value of a pixel of an indexed PNG."""
    from PIL import Image

    with Image.open(io.BytesIO(label_map_png)) as picture:
        flat = picture.getpalette() or []
    return [(flat[at], flat[at + 1], flat[at + 2]) for at in range(0, len(flat) - 2, 3)]
