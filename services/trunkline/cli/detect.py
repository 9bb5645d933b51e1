"""`trunkline detect`: the objects of pictures."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import DEFAULT_TARGET, Draw, Images, Json, Target, Timeout
from trunkline.cli.output import percent, table

if TYPE_CHECKING:
    from rich.table import Table

    from trunkline.core.results import Detections


def detect(
    images: Images,
    head: Annotated[
        str | None, typer.Option(metavar="NAME", help="Detection head; may be left out for the default one.")
    ] = None,
    *,
    score: Annotated[
        float | None, typer.Option("--score", min=0, max=1, metavar="S", help="Least score of an object.")
    ] = None,
    nms_iou: Annotated[
        float | None,
        typer.Option(
            "--nms-iou", min=0, max=1, metavar="IOU", help="Of boxes that overlap by more, the best is answered."
        ),
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=1, max=1000, metavar="N", help="How many objects to answer at most.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="Only objects of this class; may be repeated."),
    ] = None,
    masks: Annotated[
        bool | None,
        typer.Option("--masks/--no-masks", help="Outlines too.", show_default="where the head gives them"),
    ] = None,
    json: Json = False,
    draw: Draw = None,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Find the objects of pictures; --draw puts boxes, classes and outlines on the picture."""
    from trunkline.cli.single import ask_and_show
    from trunkline.client import Client, DetectAnswer

    with Client(target) as client:

        def ask(image: Path) -> DetectAnswer:
            return client.detect(
                image,
                head,
                score_threshold=score,
                nms_iou=nms_iou,
                max_detections=most,
                classes=classes,
                masks=masks,
                timeout_s=timeout,
            )

        ask_and_show(images, ask, _Objects(), json=json, draw=draw)


class _Objects:
    """A View of detections."""

    def fields(self, result: "Detections") -> dict[str, Any]:
        return {"objects": [asdict(found) for found in result.objects]}

    def table(self, result: "Detections") -> "Table":
        made = table("object", "score", "left, top", "right, bottom", right=("score", "left, top", "right, bottom"))
        for found in result.objects:
            box = found.box
            corners = f"{box.x_min:.0f}, {box.y_min:.0f}", f"{box.x_max:.0f}, {box.y_max:.0f}"
            made.add_row(found.label.label, percent(found.label.score), *corners)
        if not result.objects:
            made.add_row("nothing found", "", "", "")
        return made
