"""`trunkline segment`: a class for every pixel of pictures."""

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trunkline.cli.options import DEFAULT_TARGET, Draw, Images, Json, Target, Timeout
from trunkline.cli.output import percent, table

if TYPE_CHECKING:
    from rich.table import Table

    from trunkline.core.results import Segmentation


def segment(
    images: Images,
    head: Annotated[
        str | None, typer.Option(metavar="NAME", help="Segmentation head; may be left out for the default one.")
    ] = None,
    masks: Annotated[
        Literal["png", "rle", "both"], typer.Option("--masks", help="Label map, run lengths of each class, or both.")
    ] = "png",
    confidence_map: Annotated[
        bool, typer.Option("--confidence-map", help="The probability of each pixel's class too.")
    ] = False,
    json: Json = False,
    draw: Draw = None,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Give every pixel of pictures a class; --draw lays the classes over the picture, with a legend."""
    from trunkline.cli.single import ask_and_show
    from trunkline.client import Client

    wanted: Literal["png", "rle", "both"] = "both" if draw is not None and masks == "rle" else masks
    with Client(target) as client:
        ask_and_show(
            images,
            lambda image: client.segment(image, head, wanted, confidence_map, timeout),
            _Classes(),
            json=json,
            draw=draw,
        )


class _Classes:
    """A View of segmentations."""

    def fields(self, result: "Segmentation") -> dict[str, Any]:
        """PNGs as base64."""
        fields = asdict(result)
        for name in ("label_map_png", "confidence_map_png"):
            fields[name] = base64.b64encode(fields[name]).decode()
        return fields

    def table(self, result: "Segmentation") -> "Table":
        made = table("class", "of the picture", "mean probability", right=("of the picture", "mean probability"))
        for part in result.classes:
            made.add_row(part.label, percent(part.area), percent(part.confidence))
        return made
