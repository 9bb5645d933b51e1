"""The reference pages that are made from the code: `python -m docs.generate` writes them below docs/reference."""

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generate import cli, errors, metrics, protos, settings

FOLDER = Path(__file__).parents[1] / "reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli.page,
    "errors.md": errors.page,
    "metrics.md": metrics.page,
    "protos.md": protos.page,
    "settings.md": settings.page,
}
