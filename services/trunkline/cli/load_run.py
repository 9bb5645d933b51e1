"""A load test from the command line: what is asked for, how it is shown, whether it is good."""

import asyncio
import shlex
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trunkline.cli.load_bar import LoadBar
from trunkline.cli.output import complain, console, print_json, table
from trunkline.cli.output import show as show_table
from trunkline.cli.pictures import find_pictures
from trunkline.loadtest import tables
from trunkline.loadtest.figures import figures_of
from trunkline.loadtest.objectives import Objective
from trunkline.loadtest.pictures import marked
from trunkline.loadtest.plan import Arrivals, Load, Setup, Step
from trunkline.loadtest.report import write_report
from trunkline.loadtest.run import Run, Runner
from trunkline.loadtest.worker import pictures_of


@dataclass(frozen=True)
class Wanted:
    """A run as the command line asks for it: loads, or the bound of a knee."""

    setup: Setup
    loads: Sequence[Load]
    knee: Objective | None
    arrivals: Arrivals
    duration_s: float
    warm_up_s: float
    objectives: Sequence[Objective]


def picture_paths(named: list[Path]) -> tuple[str, ...]:
    """Paths of the pictures in files and folders. Raises as find_pictures does."""
    return tuple(str(path.absolute()) for path in find_pictures(named))


def mark() -> str:
    """Makes the pictures of this run unlike those of any other."""
    return uuid.uuid4().hex


def run_and_show(wanted: Wanted, out: Path | None, *, json: bool) -> bool:
    """Do it, print tables or one JSON document, write the report. Returns whether all objectives are met.

    Without objectives: whether any call was answered OK.
    """
    _check_pictures(wanted.setup)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # before a long run, not after it
    with LoadBar() as bar:
        run = asyncio.run(_run(wanted, Runner(wanted.setup, bar, shlex.join(["trunkline", *sys.argv[1:]]))))
    if out is not None:
        for line in write_report(run, out):
            complain(line)
        complain(f"report in {out}")
    if json:
        print_json(run.model_dump(mode="json"))
    else:
        _show_run(run)
    for line in tables.warnings(run):
        complain(line)
    return _good(run)


def show(made: tables.Table) -> None:
    """Print a table; nothing where it has no rows."""
    if not made.rows:
        return
    shown = table(*made.columns, right=set(made.columns) - tables.WORDS, text=tables.WORDS)
    shown.title, shown.title_justify = made.title, "left"
    for row in made.rows:
        shown.add_row(*row)
    show_table(shown)


async def _run(wanted: Wanted, runner: Runner) -> Run:
    if wanted.knee is not None:
        seconds, warm_up_s = wanted.duration_s, wanted.warm_up_s
        return await runner.knee(wanted.knee, seconds, warm_up_s, wanted.arrivals, wanted.objectives)
    steps = [Step(load=load, seconds=wanted.duration_s) for load in wanted.loads]
    return await runner.steps(steps, wanted.warm_up_s, wanted.objectives)


def _check_pictures(setup: Setup) -> None:
    """Before any process is started. Raises as reading and marking do."""
    for picture in pictures_of(setup) if setup.pictures else ():
        if setup.mark:
            marked(picture, b"")


def _show_run(run: Run) -> None:
    for name, text in tables.facts(run).items():
        if name != "command":
            console().print(f"{name}: {text}", style="bold" if name == "knee" else None)
    for each in tables.ALL:
        show(each(run))


def _good(run: Run) -> bool:
    missed = [verdict for verdict in run.objectives if not verdict.met]
    for verdict in missed:
        where = f" at {verdict.step}" if verdict.step else ""
        complain(f"objective {verdict.objective} is not met: {verdict.value}{where}")
    if run.objectives:
        return not missed
    if not any(figures_of(result.tally).ok for result in run.steps):
        complain("no call was answered OK")
        return False
    return True
