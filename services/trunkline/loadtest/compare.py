"""Two runs side by side, step by step."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trunkline.core.errors import ConfigurationError
from trunkline.loadtest.figures import Figures, figures_of
from trunkline.loadtest.run import Run, StepResult
from trunkline.loadtest.tables import Table, number

_SHARES = (50.0, 90.0, 99.0, 99.9)
_MOST_ERRORS_MORE = 0.1


@dataclass(frozen=True)
class Change:
    """One figure of a step in both runs. worse: by more than the tolerance, and by more than chance explains."""

    step: str
    figure: str
    before: float
    after: float
    worse: bool

    @property
    def percent(self) -> float:
        """nan where there is nothing to divide by."""
        return 100 * (self.after / self.before - 1) if self.before else math.nan


def compare(before: Run, after: Run, tolerance_percent: float) -> list[Change]:
    """All figures of the steps that both have. Raises ConfigurationError where they have none in common."""
    pairs = list(_pairs(before, after))
    if not pairs:
        names = " against ".join(", ".join(result.name for result in run.steps) for run in (before, after))
        raise ConfigurationError(f"the two runs have no load in common: {names}")
    found: list[Change] = []
    for name, one, other in pairs:
        found.extend(_changes(name, figures_of(one.tally), figures_of(other.tally), tolerance_percent))
        if one.step.load.kind == "closed":  # in an open loop the throughput is what was asked for
            rates = figures_of(one.tally).per_second, figures_of(other.tally).per_second
            found.append(Change(name, "OK/s", *rates, rates[1] < rates[0] * (1 - tolerance_percent / 100)))
    return found


def differences(before: Run, after: Run) -> dict[str, tuple[str, str]]:
    """What the two runs did not have in common, beside the service."""
    found: Mapping[str, tuple[str, str]] = {
        "machine": (before.machine, after.machine),
        "mix": (", ".join(before.setup.mix), ", ".join(after.setup.mix)),
        "pictures": (_pictures(before), _pictures(after)),
        "heads": (_served(before), _served(after)),
        "target": (before.setup.target, after.setup.target),
        "processes": (str(before.setup.processes), str(after.setup.processes)),
        "timeout": (f"{before.setup.timeout_s:g} s", f"{after.setup.timeout_s:g} s"),
    }
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def changes_table(changes: Sequence[Change]) -> Table:
    rows = []
    for each in changes:
        percent = "" if math.isnan(each.percent) else f"{each.percent:+.1f} %"
        shown = (number(each.before, 2), number(each.after, 2))
        rows.append((each.step, each.figure, *shown, percent, "WORSE" if each.worse else ""))
    return Table("Changes", ("load", "figure", "before", "after", "change", ""), rows)


def _pairs(before: Run, after: Run) -> Iterator[tuple[str, StepResult, StepResult]]:
    """Steps with the same load, each of which is taken once."""
    left = list(after.steps)
    for one in before.steps:
        other = next((each for each in left if each.step.load == one.step.load), None)
        if other is not None:
            left.remove(other)
            yield one.name, one, other


def _changes(name: str, before: Figures, after: Figures, tolerance_percent: float) -> Iterator[Change]:
    for share in _SHARES:
        one, other = before.percentile_ms(share), after.percentile_ms(share)
        apart = after.interval_ms(share)[0] > before.interval_ms(share)[1]
        yield Change(name, f"p{share:g} ms", one, other, apart and other > one * (1 + tolerance_percent / 100))
    rates = before.errors_percent, after.errors_percent
    yield Change(name, "errors %", *rates, rates[1] > rates[0] + _MOST_ERRORS_MORE)


def _pictures(run: Run) -> str:
    count = len(run.setup.pictures)
    return f"{count} files" if count else f"{run.setup.made} made"


def _served(run: Run) -> str:
    return ", ".join(f"{head} {version}" for head, version in run.served.items())
