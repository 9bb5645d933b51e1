"""What the manifest of a keypoints head says of its points, checked when it is loaded."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trunkline.core.errors import ModelInvalidError

Pair = tuple[str, str]
# How far people are apart on the points of COCO's bodies, as a share of the object's size (pycocotools).
_COCO_SIGMAS: Final = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
_COCO_POINTS: Final = 17
_SIDES: Final = ("left", "right")
UNIFORM_SIGMA: Final = 0.05  # where nothing is known of how far people are apart on a point


class PointSettings(BaseModel):
    """skeleton: lines between points. distance: points whose distance errors are shares of; None for the box's size.

    sigmas: for each point how far people are apart on its place, as a share of the object's size, for OKS.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    skeleton: tuple[Pair, ...] = ()
    distance: Pair | None = None
    sigmas: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()

    def of_names(self, names: Sequence[str]) -> Self:
        """The same. Raises ValueError where it speaks of points that are none of these."""
        spoken = [name for pair in self.skeleton for name in pair] + list(self.distance or ())
        unknown = sorted(set(spoken) - set(names))
        if unknown:
            raise ValueError(f"skeleton and distance name {len(unknown)} point(s) that the head has not")
        if self.sigmas and len(self.sigmas) != len(names):
            raise ValueError(f"there are {len(self.sigmas)} sigmas for {len(names)} points")
        return self

    @model_validator(mode="after")
    def _distance_is_of_two(self) -> Self:
        if self.distance is not None and self.distance[0] == self.distance[1]:
            raise ValueError("distance is that of one point to itself")
        return self


def sigmas_of(names: Sequence[str]) -> tuple[float, ...]:
    """Those of COCO where these are its 17 points; () for any others."""
    kinds = [name.rpartition("_") for name in names]
    sound = all(kind in _COCO_SIGMAS and side in ("", *_SIDES) for side, _, kind in kinds)
    return tuple(_COCO_SIGMAS[kind] for _, _, kind in kinds) if sound and len(names) == _COCO_POINTS else ()


def read_settings(settings: Mapping[str, Any], names: Sequence[str], where: object) -> PointSettings:
    """Of a bundle at `where`. Raises ModelInvalidError that names the fault."""
    try:
        return PointSettings.model_validate(dict(settings)).of_names(names)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in ("settings", *fault["loc"]))
        raise ModelInvalidError(f"{where}: {field}: {fault['msg']}") from error
    except ValueError as error:
        raise ModelInvalidError(f"{where}: settings: {error}") from error
