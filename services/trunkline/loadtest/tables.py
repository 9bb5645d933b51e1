"""Tables and notes of a run: plain cells, for Markdown and for the terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from trunkline.loadtest.figures import Figures, cores, figures_of, lateness_p99_ms
from trunkline.loadtest.recorder import LATE_MS, OK
from trunkline.loadtest.run import Run, StepResult

_SHARES = (50.0, 90.0, 99.0, 99.9)
_FIGURES = ("calls", "OK/s", *(f"p{share:g}" for share in _SHARES), "max", "failed", "retries")
_FEW = 100
_BUSY = 0.8
# Columns of words; all others are numbers.
WORDS = frozenset({"load", "call", "code", "reason", "the first one says", "objective", "", "worst step", "figure"})


class Table(NamedTuple):
    """Heads of the columns, and rows of as many cells."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def objectives_table(run: Run) -> Table:
    rows = [(each.objective, "met" if each.met else "NOT MET", each.value, each.step) for each in run.objectives]
    return Table("Objectives", ("objective", "", "value", "worst step"), rows)


def steps_table(run: Run) -> Table:
    """A row for each step."""
    rows = []
    for result in run.steps:
        figures = figures_of(result.tally)
        rows.append((result.name, *_cells(figures), str(figures.dropped)))
    return Table("Steps, latency in ms", ("load", *_FIGURES, "dropped"), rows)


def calls_table(run: Run) -> Table:
    """A row for each kind of call in each step, where there are several."""
    rows = [
        (result.name, name, *_cells(figures_of(result.tally, name)))
        for result in run.steps
        for name in (sorted(result.tally.calls) if len(result.tally.calls) > 1 else ())
    ]
    return Table("Kinds of calls, latency in ms", ("load", "call", *_FIGURES), rows)


def errors_table(run: Run) -> Table:
    """A row for each step, kind of call and reason."""
    rows = [
        (result.name, error.call, error.code, error.reason, str(error.count), " ".join(error.message.split()))
        for result in run.steps
        for error in result.tally.errors
    ]
    return Table("Errors", ("load", "call", "code", "reason", "count", "the first one says"), rows)


def generator_table(run: Run) -> Table:
    """What the load generator itself did in each step."""
    columns = ("load", "cores used by the generator", "sent late, p99 ms", f"sent more than {LATE_MS:g} ms late")
    return Table("The generator itself", columns, [_generator_row(result) for result in run.steps])


ALL = (objectives_table, steps_table, calls_table, errors_table, generator_table)


def facts(run: Run) -> dict[str, str]:
    """What a reader has to know beside the figures."""
    setup = run.setup
    pictures = f"{len(setup.pictures)} files" if setup.pictures else f"{setup.made} made JPEGs of 500x375"
    served = ", ".join(f"{head} {version}" for head, version in run.served.items())
    found = {
        "generator": f"{run.machine}; {setup.processes} process(es) of {setup.connections} connection(s)",
        "target": f"{setup.target}{f' with heads {served}' if served else ''}",
        "mix": ", ".join(setup.mix),
        "pictures": f"{pictures}, {'each one unique' if setup.mark else 'which come again'}",
        "bounds": f"timeout {setup.timeout_s:g} s, {setup.max_in_flight} in flight, {setup.wait_s:g} s for a place",
        "warm-up": f"{run.warm_up_s:g} s, left out",
        "command": f"`{run.command}`, {run.started_at:%Y-%m-%d %H:%M} UTC",
    }
    if run.knee is not None:
        rate = "no rate that was tried" if run.knee.rate is None else f"{run.knee.rate:.1f} calls/s"
        found["knee"] = f"{rate}: the highest with {run.knee.bound} and at most 1 % errors"
    return found


def warnings(run: Run) -> Iterator[str]:
    """Why figures may not be those of the service."""
    for result in run.steps:
        figures = figures_of(result.tally)
        if cores(result.tally) > _BUSY * run.setup.processes:
            yield f"{result.name}: the generator itself was busy; take more --processes, or another machine"
        if (late_ms := lateness_p99_ms(result.tally)) > LATE_MS:
            yield f"{result.name}: 1 % of the calls left {late_ms:.0f} ms late or more, which counts as latency"
        if 0 < figures.ok < _FEW:
            yield f"{result.name}: with {figures.ok} answers p99 is about the slowest; take a longer --duration"
        if figures.dropped:
            yield f"{result.name}: {figures.dropped} arrivals found no place in time and count as errors"


def number(value: float, digits: int = 1) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def markdown(table: Table) -> list[str]:
    """Lines of a section with the table; none where it has no rows."""
    if not table.rows:
        return []
    lines: Sequence[tuple[str, ...]] = (table.columns, ("---",) * len(table.columns), *table.rows)
    return ["", f"## {table.title}", "", *(f"| {' | '.join(map(_escaped, line))} |" for line in lines)]


def _generator_row(result: StepResult) -> tuple[str, ...]:
    tally = result.tally
    late = "" if result.step.load.kind == "closed" else str(tally.late_sent)
    return (result.name, f"{cores(tally):.2f}", number(lateness_p99_ms(tally)), late)


def _cells(figures: Figures) -> tuple[str, ...]:
    percentiles = (number(figures.percentile_ms(share)) for share in _SHARES)
    counts = (_failed_text(figures.codes), str(figures.calls.retries))
    return (str(figures.arrivals), f"{figures.per_second:.1f}", *percentiles, number(figures.max_ms), *counts)


def _failed_text(codes: Mapping[str, int]) -> str:
    """Codes other than OK with their counts; "0" where there are none."""
    return ", ".join(f"{code} {count}" for code, count in sorted(codes.items()) if code != OK) or "0"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
