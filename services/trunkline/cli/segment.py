"""`trunkline segment`: a class for every pixel of pictures."""

import base64
import itertools
from dataclasses import asdict
from pathlib import Path
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
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="DIR", help="Write each label map as a PNG called as its picture is."),
    ] = None,
    json: Json = False,
    draw: Draw = None,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Give every pixel of pictures a class; --draw lays the classes over the picture, with a legend."""
    from trunkline.cli.single import ask_and_show
    from trunkline.client import Client, SegmentAnswer

    drawn = draw is not None or save is not None
    wanted: Literal["png", "rle", "both"] = "both" if drawn and masks == "rle" else masks
    saved = None if save is None else _LabelMaps(save)
    with Client(target) as client:

        def ask(image: Path) -> SegmentAnswer:
            answer = client.segment(image, head, wanted, confidence_map, timeout)
            if saved is not None:
                saved.write(image, answer.result.label_map_png)
            return answer

        ask_and_show(images, ask, _Classes(), json=json, draw=draw)
    if saved is not None and not json:
        print(f"label maps: {saved.count} in {save}")


class _LabelMaps:
    """Files of label maps: indexed PNGs, of which the value of a pixel is the index of its class."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the folder cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(f"cannot write {folder}: {error.strerror or error}") from error
        self._folder, self._taken, self.count = folder, set[str](), 0

    def write(self, image: Path, png: bytes) -> None:
        """As NAME.png; where two pictures are called the same, the later one gets a number. Raises OSError."""
        names = (f"{image.stem}{f'-{number}' if number > 1 else ''}.png" for number in itertools.count(1))
        name = next(name for name in names if name not in self._taken)
        (self._folder / name).write_bytes(png)
        self._taken.add(name)
        self.count += 1


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
