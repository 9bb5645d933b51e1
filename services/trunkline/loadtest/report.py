"""A run on disk: report.json, report.md and the plots."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from trunkline.core.errors import ConfigurationError
from trunkline.core.files import MIB, read_regular
from trunkline.loadtest import tables
from trunkline.loadtest.compare import Change, changes_table, differences
from trunkline.loadtest.objectives import parse_objective
from trunkline.loadtest.run import FORMAT, Run

NAME = "report.json"
_MOST_BYTES = 256 * MIB
_NO_PLOTS = "no plots, as matplotlib is not installed: pip install 'trunkline[load]'"


def write_report(run: Run, folder: Path) -> list[str]:
    """Write all files; returns what could not be made. Raises OSError where the folder cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    plots, left_out = _plots(run, folder)
    (folder / NAME).write_text(run.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text("\n".join(_lines(run, plots)) + "\n", encoding="utf-8")
    return left_out


def read_run(path: Path) -> Run:
    """The run of a report.json, or of a folder with one. Raises ConfigurationError where it is none."""
    path = path / NAME if path.is_dir() else path
    try:
        run = Run.model_validate_json(read_regular(path, _MOST_BYTES))
    except FileNotFoundError:
        raise ConfigurationError(f"there is no {path}: name the {NAME} of a load test, or its folder") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{path} is no {NAME} of a load test: {where} {first['msg']}".strip()) from None
    if run.format != FORMAT:
        raise ConfigurationError(f"{path} has format {run.format}, and this version reads {FORMAT}: measure again")
    return run


def write_comparison(before: Run, after: Run, changes: Sequence[Change], folder: Path) -> list[str]:
    """Write compare.md and latency.png with the curves of both; returns what could not be made."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Load test against an earlier one", "", f"- before: `{before.command}`, {before.started_at:%Y-%m-%d}"]
    lines.append(f"- after: `{after.command}`, {after.started_at:%Y-%m-%d}")
    lines.extend(f"- {name}: {' against '.join(pair)}" for name, pair in differences(before, after).items())
    lines.extend(tables.markdown(changes_table(changes)))
    plots = _plots_module()
    if plots is not None:
        curves = {f"{name}, before": curve for name, curve in plots.curves_of(before).items()}
        curves |= {f"{name}, after": curve for name, curve in plots.curves_of(after).items()}
        plots.plot_latency(curves, folder / "latency.png")
        lines.extend(["", "![latency](latency.png)"])
    (folder / "compare.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [] if plots is not None else [_NO_PLOTS]


def _plots(run: Run, folder: Path) -> tuple[Sequence[str], list[str]]:
    """The names of those that were made, and why others were not."""
    plots = _plots_module()
    if plots is None:
        return (), [_NO_PLOTS]
    plots.plot_latency(plots.curves_of(run), folder / "latency.png")
    plots.plot_time(run, folder / "time.png")
    if run.knee is None:
        return ("latency.png", "time.png"), []
    plots.plot_knee(run, parse_objective(run.knee.bound), folder / "knee.png")
    return ("knee.png", "latency.png", "time.png"), []


def _plots_module() -> ModuleType | None:
    """None where matplotlib is not there: a report without plots is better than none."""
    try:
        return importlib.import_module("trunkline.loadtest.plots")
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        return None


def _lines(run: Run, plots: Sequence[str]) -> list[str]:
    lines = ["# Load test", "", *(f"- {name}: {text}" for name, text in tables.facts(run).items())]
    for table in tables.ALL:
        lines.extend(tables.markdown(table(run)))
    lines.extend(["", "Latency counts from the time at which a call was to be sent, of calls that were answered OK."])
    if warned := list(tables.warnings(run)):
        lines.extend(["", "## What to mind", "", *(f"- {line}" for line in warned)])
    for plot in plots:
        lines.extend(["", f"![{plot.removesuffix('.png')}]({plot})"])
    return lines
