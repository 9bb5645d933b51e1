"""`settings` of a similarity head: what distances in its space mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trunkline.core.errors import ModelInvalidError
from trunkline.core.results import Calibration


class _Logistic(BaseModel):
    """P(same) = 1 / (1 + exp(-(a * distance + b)))."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    a: Annotated[float, Field(lt=0)]
    b: float


class SimilaritySettings(BaseModel):
    """threshold and calibration come together or not at all. Other names belong to training."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    metric: Literal["euclidean"] = "euclidean"
    threshold: Annotated[float, Field(ge=0, le=2)] | None = None
    calibration: _Logistic | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.threshold is None) != (self.calibration is None):
            raise ValueError("threshold and calibration belong together: give both or none")
        return self


def read_calibration(settings: Mapping[str, Any], bundle: Path) -> Calibration | None:
    """None where the head is not calibrated. Raises ModelInvalidError that names the field and the fault."""
    try:
        found = SimilaritySettings.model_validate(dict(settings))
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in ("settings", *fault["loc"]))
        raise ModelInvalidError(f"{bundle}: {field}: {fault['msg']}") from error
    if found.threshold is None or found.calibration is None:
        return None
    return Calibration(found.threshold, found.calibration.a, found.calibration.b)
