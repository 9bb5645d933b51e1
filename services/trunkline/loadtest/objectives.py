"""What a run is to achieve, such as p99<200ms or errors<0.1%: parsed, and judged on its steps."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from trunkline.core.errors import ConfigurationError
from trunkline.loadtest.figures import Figures, figures_of
from trunkline.loadtest.tally import Tally

KNEE = "knee"
_LARGE = 1000
_FORM = re.compile(
    r"(?:(?P<call>\S+)\s+)?(?P<figure>[a-z]+|p[0-9.]+)\s*(?P<sign><=|>=|<|>)\s*(?P<value>[0-9.]+)\s*(?P<unit>\S*)"
)
_HOW = (
    "write [CALL ]FIGURE<VALUE with p50 to p99.99, mean or max in ms or s, errors, dropped or retried in %, "
    "throughput or knee in calls a second, such as 'p99<200ms' or 'classify:imagenet errors<0.1%'"
)
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}
_TIMES = {"ms": 1.0, "s": 1000.0}
_RATES = {"": 1.0, "/s": 1.0}
_SHARES = {"%": 1.0}
_FIGURES: Mapping[str, tuple[Callable[[Figures], float], Mapping[str, float], str]] = {
    "mean": (lambda figures: figures.mean_ms, _TIMES, " ms"),
    "max": (lambda figures: figures.max_ms, _TIMES, " ms"),
    "errors": (lambda figures: figures.errors_percent, _SHARES, " %"),
    "dropped": (lambda figures: figures.dropped_percent, _SHARES, " %"),
    "retried": (lambda figures: figures.retried_percent, _SHARES, " %"),
    "throughput": (lambda figures: figures.per_second, _RATES, "/s"),
    KNEE: (lambda figures: math.nan, _RATES, "/s"),
}


@dataclass(frozen=True)
class Objective:
    """A figure, of all calls or of one kind, and a bound in ms, percent or calls a second."""

    text: str
    figure: str
    sign: str
    bound: float
    call: str | None = None

    @property
    def bounds_latency(self) -> bool:
        """Whether it is an upper bound on a latency."""
        return self.sign.startswith("<") and (self.figure not in _FIGURES or _FIGURES[self.figure][1] is _TIMES)

    def value(self, tally: Tally) -> float:
        """nan where there is none: no call of the kind, or none answered OK. It meets no bound."""
        if self.call is not None and self.call not in tally.calls:
            return math.nan
        figures = figures_of(tally, self.call)
        if self.figure in _FIGURES:
            return _FIGURES[self.figure][0](figures)
        return figures.percentile_ms(float(self.figure[1:]))

    def met_by(self, value: float) -> bool:
        return _SIGNS[self.sign](value, self.bound)

    def said(self, value: float) -> str:
        """A value with its unit."""
        unit = _FIGURES[self.figure][2] if self.figure in _FIGURES else " ms"
        if math.isnan(value):
            return "none"
        return f"{value:.0f}{unit}" if value >= _LARGE else f"{value:.4g}{unit}"


class Verdict(BaseModel):
    """An objective with the step that came off worst."""

    objective: str
    met: bool
    value: str
    step: str = ""


def parse_objective(text: str) -> Objective:
    """Raises ConfigurationError that says what is wrong."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(f"the objective {text!r} cannot be read: {_HOW}")
    figure, unit = found["figure"], found["unit"]
    known = figure in _FIGURES or (figure[0] == "p" and _is_share(figure[1:]))
    units = _FIGURES[figure][1] if figure in _FIGURES else _TIMES
    if not known or unit not in units or not _is_number(found["value"]):
        raise ConfigurationError(f"the objective {text!r} has an unknown figure, value or unit: {_HOW}")
    return Objective(text.strip(), figure, found["sign"], float(found["value"]) * units[unit], found["call"])


def judge(objective: Objective, steps: Sequence[tuple[str, Tally]], knee: float | None) -> Verdict:
    """A run meets an objective where each of its steps does."""
    if objective.figure == KNEE:
        value = math.nan if knee is None else knee
        return Verdict(objective=objective.text, met=objective.met_by(value), value=objective.said(value))
    values = [(objective.value(tally), name) for name, tally in steps]
    if not values:
        return Verdict(objective=objective.text, met=False, value="none")
    worst, step = max(values, key=lambda pair: _badness(objective, pair[0]))
    return Verdict(objective=objective.text, met=objective.met_by(worst), value=objective.said(worst), step=step)


def _badness(objective: Objective, value: float) -> float:
    if math.isnan(value):
        return math.inf
    return value if objective.sign.startswith("<") else -value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text) is not None


def _is_share(text: str) -> bool:
    return _is_number(text) and 0 < float(text) <= 100
