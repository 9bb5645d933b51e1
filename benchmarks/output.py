"""Where results go: a Markdown report, its figures as JSON, its plots."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.machine import describe

RESULTS = Path(__file__).parent / "results"
_console = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Output:
    """A folder for results, and the command that makes them."""

    folder: Path
    command: str

    def write(self, name: str, title: str, notes: Sequence[str], body: Sequence[str], data: Any) -> None:
        """NAME.md and NAME.json; the report goes to standard output too."""
        head = [
            f"# {title}",
            "",
            f"- machine: {describe()}",
            f"- command: `{self.command}`, {datetime.now(UTC):%Y-%m-%d}",
        ]
        report = "\n".join([*head, *(f"- {note}" for note in notes), "", *body]) + "\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.md").write_text(report, encoding="utf-8")
        record = {"machine": describe(), "command": self.command, "data": data}
        (self.folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(report)

    def plot(self, name: str) -> Path:
        """The file for a plot."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{name}.png"


def tell(line: str) -> None:
    """A line on how far it has come, on standard error."""
    _console.print(line)
