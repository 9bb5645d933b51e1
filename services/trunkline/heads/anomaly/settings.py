"""`settings` of an anomaly head: limits, and what is known of good pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trunkline.core.errors import ModelInvalidError

Distance = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class AnomalySettings(BaseModel):
    """Distances are those of the model's output.

    score: whether the distance of a picture is the mean of its places, that of the farthest tenth, or the largest.
    limit: of a picture, place_limit: of a place, from which on they are anomalous. good: distances of good pictures
    that were held back, rising. false_alarms: share of good pictures that the limits were made for.
    """

    model_config = ConfigDict(frozen=True)

    score: Literal["mean", "farthest", "max"]
    limit: Distance
    place_limit: Distance
    good: Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(max_length=1000)] = ()
    false_alarms: Annotated[float, Field(gt=0, le=1)] = 0.01


def read_settings(settings: Mapping[str, Any], bundle: Path) -> AnomalySettings:
    """Raises ModelInvalidError that names the bundle and the setting."""
    try:
        return AnomalySettings.model_validate(dict(settings))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(("settings", *map(str, fault["loc"])))
        raise ModelInvalidError(f"{bundle}: {where}: {fault['msg']}") from error
