"""How large the parts of a detector are."""

from dataclasses import dataclass

FINE = "c2"  # the map that outlines take their edges from; in the pyramid or not
# Overlap at which a net with outlines drops boxes in the graph, so that outlines are made of few.
OUTLINED_NMS_IOU = 0.7


@dataclass(frozen=True)
class RcnnSize:
    """maps: features of the backbone that become levels of the pyramid, all of `width` channels.

    hidden: units of each box head. candidates: anchors of a level that are looked at, proposals: regions that are
    left of all; learned: those of a training step, of which `sampled` are learned from. mask_layers: convolutions of
    the mask head; outlined: regions of a picture that get an outline.
    """

    maps: tuple[str, ...]
    width: int
    hidden: int
    candidates: int
    proposals: int
    learned: int
    sampled: int
    mask_layers: int
    outlined: int


SIZES = {
    "light": RcnnSize(("c3", "c4", "c5"), 96, 256, 1000, 100, 400, 128, 4, 30),
    "medium": RcnnSize(("c2", "c3", "c4", "c5"), 128, 512, 1000, 300, 600, 128, 4, 50),
    "large": RcnnSize(("c2", "c3", "c4", "c5"), 256, 1024, 1000, 300, 600, 128, 4, 100),
}


@dataclass(frozen=True)
class DenseSize:
    """Of a one-stage detector. width: channels of the levels. depth: blocks of the pyramid. tower: layers of a tower.

    answered: places of a picture that are answered, the best of all.
    """

    width: int
    depth: int
    tower: int
    answered: int = 300


DENSE_SIZES = {
    "light": DenseSize(96, 1, 2),
    "medium": DenseSize(128, 2, 2),
    "large": DenseSize(192, 3, 3),
}
