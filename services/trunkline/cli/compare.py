"""`trunkline compare`: how alike two pictures are."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli.options import DEFAULT_TARGET, Json, Target, Timeout
from trunkline.cli.output import console, print_json, show, table
from trunkline.core.figures import number, percent

if TYPE_CHECKING:
    from rich.table import Table

    from trunkline.core.results import Comparison

_Head = Annotated[
    str | None, typer.Option("--head", metavar="NAME", help="Similarity head; without it, the default one.")
]


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An image.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another image.", show_default=False)],
    head: _Head = None,
    json: Json = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Compare two images: their distance, and the probability that they show the same thing."""
    from trunkline.cli.ask import timings_to_json, timings_to_text
    from trunkline.client import Client

    with Client(target) as client:
        answer = client.compare(first, second, head, timeout)
    if json:
        named = {"first": str(first), "second": str(second), "head": answer.head, "version": answer.version}
        print_json(named | asdict(answer.result) | {"timings": timings_to_json(answer.timings)})
        return
    out = console()
    out.print(f"{first}  {second}", style="bold")
    show(_comparison_table(answer.result))
    out.print(f"  {answer.head} {answer.version}: {timings_to_text(answer.timings)}")


def _comparison_table(found: "Comparison") -> "Table":
    made = table("distance", "similarity", "probability of the same", "threshold", "verdict", text=("verdict",))
    if found.probability is None or found.threshold is None:
        made.add_row(number(found.distance), number(found.similarity), "-", "-", "the head is not calibrated")
        return made
    made.add_row(
        number(found.distance),
        number(found.similarity),
        percent(found.probability),
        number(found.threshold),
        "the same" if found.same else "different",
    )
    return made
