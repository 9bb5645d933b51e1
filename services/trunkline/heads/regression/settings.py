"""What a regression bundle says of its targets, checked when it is loaded."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trunkline.core.errors import ModelInvalidError

DEGREES = ("", "deg", "°", "degree", "degrees")


class Target(BaseModel):
    """One quantity: `low` and `high` are the range of the training data in `unit` ("" for a pure number).

    A number takes one column of the output, an angle two: (cos, sin).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1)]
    unit: str
    kind: Literal["number", "angle"]
    low: float
    high: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        if self.kind == "angle" and self.unit not in DEGREES:
            raise ValueError(f"an angle is answered in degrees, so its unit cannot be {self.unit!r}: write 'deg'")
        return self

    @property
    def columns(self) -> int:
        return 2 if self.kind == "angle" else 1


class RegressionSettings(BaseModel):
    """The part of a manifest's settings that decoding needs; other settings are left alone."""

    model_config = ConfigDict(frozen=True)

    targets: Annotated[tuple[Target, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [target.name for target in self.targets]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"a target was named twice: {', '.join(sorted(twice))}")
        return self


def read_targets(settings: Mapping[str, Any], where: object) -> tuple[Target, ...]:
    """The targets of a bundle at `where`. Raises ModelInvalidError that names the field and the fault."""
    try:
        return RegressionSettings.model_validate(dict(settings)).targets
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in ("settings", *fault["loc"]))
        raise ModelInvalidError(f"{where}: {field}: {fault['msg']}") from error
