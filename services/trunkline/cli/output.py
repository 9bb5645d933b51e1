"""What goes where: answers to standard output, everything else to standard error."""

import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH_OF_A_FILE = 120


def complain(message: str) -> None:
    """One line on standard error, whatever the message holds."""
    print(f"trunkline: {' '.join(message.split())}", file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(document, indent=2, allow_nan=False))


def console() -> "Console":
    """A console on standard output that shows file names and labels as they are, without rich's markup."""
    from rich.console import Console

    return Console(width=None if _is_narrow() else _WIDTH_OF_A_FILE, markup=False, highlight=False, emoji=False)


def _is_narrow() -> bool:
    """Whether people see what is printed in so many columns; a file holds whole words however long."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def table(
    *columns: str, right: Collection[str] = (), text: Collection[str] = (), whole: Collection[str] = ()
) -> "Table":
    """An empty table. Words that do not fit are cut with an ellipsis, never broken in two.

    right: columns of numbers, set flush right. text: columns whose texts may go over several lines. whole: columns
    of which nothing is cut, such as digests. What is none of these is a name, of one line.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for column in columns:
        may_wrap = column in text or column in whole or (column in right and " " in column)
        made.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="ellipsis" if _is_narrow() and column not in whole else "fold",
            no_wrap=_is_narrow() and not may_wrap,
        )
    return made


def show(made: "Table") -> None:
    """Print a table, between empty lines, without the columns in which nothing stands."""
    out = console()
    out.print()
    out.print(_filled(made))
    out.print()


def _filled(made: "Table") -> "Table":
    kept = [column for column in made.columns if any(column.cells)]
    if len(kept) == len(made.columns):
        return made
    slim = table()
    slim.title, slim.title_justify, slim.show_header = made.title, made.title_justify, made.show_header
    for column in kept:
        slim.add_column(column.header, justify=column.justify, overflow=column.overflow, no_wrap=column.no_wrap)
    cells = zip(*(list(column.cells) for column in kept), strict=True)
    for row, old in zip(cells, made.rows, strict=True):
        slim.add_row(*row, end_section=old.end_section)
    return slim


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names with their values, whole."""
    made = table("name", "value", whole=("value",))
    made.show_header = False
    for name, value in facts:
        made.add_row(name, value)
    show(made)


def megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f} MB"


def print_metrics(metrics: Mapping[str, float]) -> None:
    """One line for each metric of a head."""
    for metric, value in metrics.items():
        shown = f"{100 * value:6.2f} %" if "accuracy" in metric else f"{value:8.4g}"
        print(f"  {metric:22} {shown}")
