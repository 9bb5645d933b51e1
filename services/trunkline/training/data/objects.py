"""The objects in a picture, as detection and instance segmentation learn them."""

from dataclasses import dataclass

from trunkline.core.results import Box
from trunkline.training.data.outlines import Outline
from trunkline.training.data.points import Place


@dataclass(frozen=True)
class ObjectTruth:
    """One object of a picture. Equal by value; can be pickled.

    label: index into the classes of the data.
    box: in pixels of the upright picture, (0, 0) the outer corner of its top-left pixel; inside of the picture and
    with an area.
    mask: its pixels, `mask.load()` -> uint8 (H, W), 1 inside; None where the data has boxes alone.
    crowd: many objects in one, or one that is too difficult to be asked for: neither found nor missed in COCO's
    metrics, and no truth to learn.
    name: what the data calls it, such as "annotation 7", for messages.
    points: those that are labelled, where points are asked for.
    """

    label: int
    box: Box
    mask: Outline | None = None
    crowd: bool = False
    name: str = ""
    points: tuple[Place, ...] | None = None
