"""What goes where: answers to standard output, everything else to standard error."""

import json
import os
import sys
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


def print_documents(documents: list[dict[str, Any]]) -> None:
    """The document of one picture by itself, those of several as an array."""
    print_json(documents[0] if len(documents) == 1 else documents)


def console() -> "Console":
    """A console on standard output that shows file names and labels as they are, without rich's markup."""
    from rich.console import Console

    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_FILE
    return Console(width=fixed, markup=False, highlight=False, emoji=False)


def table(*columns: str, right: tuple[str, ...] = ()) -> "Table":
    """An empty table; the columns named in `right` are set flush right."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f} MB"


def number(value: float) -> str:
    """Four digits that count, all of them before the point; an exponent only far from 1."""
    return f"{value:.1f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"


def measure(value: float, unit: str) -> str:
    """A value with its unit, such as "12.5 mm" or "12.5°"."""
    return f"{number(value)}{'' if unit in ('', '°') else ' '}{unit}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
