"""`settings` of a segmentation head: the colours of its classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trunkline.core.errors import ModelInvalidError
from trunkline.heads.segmentation.palette import Colour, default_palette

_Part = Annotated[int, Field(ge=0, le=255)]


class _Settings(BaseModel):
    """Other names belong to training, such as the size of the decoder."""

    model_config = ConfigDict(frozen=True)

    palette: tuple[tuple[_Part, _Part, _Part], ...] = ()


def read_palette(settings: Mapping[str, Any], classes: int, bundle: Path) -> tuple[Colour, ...]:
    """settings.palette, or colours of our own. Raises ModelInvalidError where it does not fit the labels."""
    try:
        palette = _Settings.model_validate(dict(settings)).palette
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise ModelInvalidError(f"{bundle}: settings.{where}: {fault['msg']}") from error
    if not palette:
        return default_palette(classes)
    if len(palette) != classes:
        raise ModelInvalidError(f"{bundle}: settings.palette has {len(palette)} colours for {classes} labels")
    return palette
