"""Options of a load test to what they mean: loads, mix, objectives."""

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from trunkline.core.errors import ConfigurationError

if TYPE_CHECKING:
    from trunkline.loadtest.objectives import Objective
    from trunkline.loadtest.plan import Arrivals, Load

_RAMP = re.compile(r"(?P<first>[0-9.]+)\.\.(?P<last>[0-9.]+)/(?P<step>[0-9.]+)")
_MOST_STEPS = 100


def loads(rate: str | None, concurrency: str | None, arrivals: "Arrivals") -> "list[Load]":
    """A load for each step. Raises BadParameter that says what is wrong."""
    from trunkline.loadtest.plan import Closed, Open

    if concurrency is not None:
        return [Closed(callers=int(value)) for value in _values("--concurrency", concurrency, _is_count)]
    assert rate is not None
    return [Open(rate=value, arrivals=arrivals) for value in _values("--rate", rate, _is_rate)]


def goals(mix: Sequence[str], bounds: Sequence[str], knee: str | None) -> "tuple[list[Objective], Objective | None]":
    """The objectives, and the bound of a knee where one is to be found.

    Raises BadParameter where one of them, or the mix, cannot be meant.
    """
    from trunkline.loadtest.mix import parse_mix
    from trunkline.loadtest.objectives import KNEE, parse_objective

    try:
        calls = {call.name for call in parse_mix(mix)}
        objectives = [parse_objective(text) for text in bounds]
        bound = None if knee is None else parse_objective(knee)
    except ConfigurationError as error:
        raise typer.BadParameter(error.message) from None
    if bound is not None and not bound.bounds_latency:
        raise typer.BadParameter(
            f"--find-knee {knee!r} is not an upper bound on a latency: write, for example, 'p99<200ms'"
        )
    for objective in [*objectives, *([bound] if bound else [])]:
        if objective.call is not None and objective.call not in calls:
            known = ", ".join(sorted(calls))
            raise typer.BadParameter(f"the objective {objective.text!r} matches no call of the mix: {known}")
        if objective.figure == KNEE and bound is None:
            raise typer.BadParameter(f"the objective {objective.text!r} needs the search for it: --find-knee BOUND")
    return objectives, bound


def _values(option: str, text: str, allowed: Callable[[float], bool]) -> Sequence[float]:
    found = _parse(text)
    if not found or len(found) > _MOST_STEPS or not all(map(allowed, found)):
        what = "whole numbers above 0" if allowed is _is_count else "numbers above 0"
        raise typer.BadParameter(
            f"{option} {text}: write {what}: one, several such as 10,20,40, or FROM..TO/STEP such as 10..50/10; "
            f"at most {_MOST_STEPS} steps"
        )
    return found


def _parse(text: str) -> list[float]:
    """No values where the text is none of the forms."""
    try:
        if ramp := _RAMP.fullmatch(text.strip()):
            first, last, step = (float(ramp[name]) for name in ("first", "last", "step"))
            count = math.floor((last - first) / step + 1e-9) + 1
            return [round(first + index * step, 6) for index in range(min(count, _MOST_STEPS + 1))]
        return [float(value) for value in text.split(",")]
    except (ValueError, ZeroDivisionError):
        return []


def _is_count(value: float) -> bool:
    return value >= 1 and value == math.floor(value) < math.inf


def _is_rate(value: float) -> bool:
    return 0 < value < math.inf
