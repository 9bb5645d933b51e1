"""What a caller may ask of a detection head."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from trunkline.core.head import Params

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1000)]


def _listed(value: object) -> object:
    """One name alone is a list of it: the parameters of the Open Inference Protocol know no lists."""
    return (value,) if isinstance(value, str) else value


class DetectParams(Params):
    """What is not given is as the settings of the bundle say.

    score_threshold: least score of an object. nms_iou: of two boxes of a class that overlap by more, the better one
    is answered. max_detections: the best so many. classes: names; only objects of these. masks: whether outlines
    are answered, true where the head gives them.
    """

    score_threshold: Share | None = None
    nms_iou: Share | None = None
    max_detections: Count | None = None
    classes: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    masks: bool | None = None
