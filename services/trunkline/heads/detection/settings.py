"""`settings` of a detection head: what holds where a request says nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trunkline.core.errors import ModelInvalidError

_NMS_IOU = 0.5
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1000)]


class DetectionSettings(BaseModel):
    """Other names belong to training, such as the size of the net.

    candidates: the best so many pairs of box and class are looked at. class_agnostic: boxes of different classes
    suppress one another too. largest_nms_iou: where the graph has suppressed boxes itself, the overlap at which it
    did, above which a request cannot go.
    """

    model_config = ConfigDict(frozen=True)

    score_threshold: Share = 0.3
    nms_iou: Share | None = None
    max_detections: Count = 100
    candidates: Annotated[int, Field(ge=1, le=100_000)] = 1000
    class_agnostic: bool = False
    largest_nms_iou: Share = 1.0

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if self.nms_iou is not None and self.nms_iou > self.largest_nms_iou:
            raise ValueError(f"nms_iou {self.nms_iou:g} is above largest_nms_iou {self.largest_nms_iou:g}")
        return self

    @property
    def usual_nms_iou(self) -> float:
        """What holds where neither the bundle nor the request says it."""
        return min(_NMS_IOU, self.largest_nms_iou) if self.nms_iou is None else self.nms_iou


def read_settings(settings: Mapping[str, Any], bundle: Path) -> DetectionSettings:
    """Raises ModelInvalidError that names the bundle and the setting."""
    try:
        return DetectionSettings.model_validate(dict(settings))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(("settings", *map(str, fault["loc"])))
        raise ModelInvalidError(f"{bundle}: {where}: {fault['msg']}") from error
