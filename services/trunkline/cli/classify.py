"""`trunkline classify`: what pictures show."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import DEFAULT_TARGET, Draw, Images, Json, Target, Timeout
from trunkline.cli.output import percent, table

if TYPE_CHECKING:
    from rich.table import Table

    from trunkline.core.results import Classification


def classify(
    images: Images,
    head: Annotated[
        str | None, typer.Option(metavar="NAME", help="Classification head; may be left out for the default one.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=1000, metavar="K", help="How many classes to answer.")] = 5,
    json: Json = False,
    draw: Draw = None,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Name what pictures show, with probabilities and the time of each stage."""
    from trunkline.cli.single import ask_and_show
    from trunkline.client import Client

    with Client(target) as client:
        ask_and_show(
            images, lambda image: client.classify(image, head, top_k, timeout), _Labels(), json=json, draw=draw
        )


class _Labels:
    """A View of classifications."""

    def fields(self, result: "Classification") -> dict[str, Any]:
        return {"labels": [asdict(label) for label in result.labels]}

    def table(self, result: "Classification") -> "Table":
        from trunkline.cli.rows import UNKNOWN

        made = table("label", "probability", right=("probability",))
        for label in result.labels:
            made.add_row(label.label, percent(label.score))
        if not result.labels:
            made.add_row(UNKNOWN, "")
        return made
