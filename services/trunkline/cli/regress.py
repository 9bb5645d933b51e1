"""`trunkline regress`: quantities estimated from pictures."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import DEFAULT_TARGET, Draw, Images, Json, Target, Timeout
from trunkline.cli.output import number, table

if TYPE_CHECKING:
    from rich.table import Table

    from trunkline.core.results import Regression


def regress(
    images: Images,
    head: Annotated[
        str | None, typer.Option(metavar="NAME", help="Regression head; may be left out for the default one.")
    ] = None,
    json: Json = False,
    draw: Draw = None,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Estimate quantities from pictures, each with its unit, with the time of each stage."""
    from trunkline.cli.single import ask_and_show
    from trunkline.client import Client

    with Client(target) as client:
        ask_and_show(images, lambda image: client.regress(image, head, timeout), _Values(), json=json, draw=draw)


class _Values:
    """A View of regressions."""

    def fields(self, result: "Regression") -> dict[str, Any]:
        return {"values": [asdict(value) for value in result.values]}

    def table(self, result: "Regression") -> "Table":
        made = table("quantity", "value", "unit", right=("value",))
        for value in result.values:
            made.add_row(value.name, number(value.value), value.unit)
        return made
