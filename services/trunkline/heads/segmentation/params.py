"""What a caller may ask of a segmentation head."""

from typing import Literal

from trunkline.core.head import Params


class SegmentParams(Params):
    """format: the label map as PNG, a run-length mask for each class, or both. confidence_map: a gray PNG too."""

    format: Literal["png", "rle", "both"] = "png"
    confidence_map: bool = False
