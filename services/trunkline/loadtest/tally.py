"""What became of the calls of a step: in one process, and over all of them."""

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from trunkline.loadtest.histograms import encoded, merged

SECOND_DIGITS = 2


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorTally(_Value):
    """Calls of one kind that failed for one reason, with the text of the first."""

    call: str
    code: str
    reason: str
    message: str
    count: int = 0


class CallTally(_Value):
    """One kind of call: how many by code, tries after the first, and the latency of those answered OK.

    retries: tries after the first; retried: calls that had any.
    """

    codes: dict[str, int] = {}
    retries: int = 0
    retried: int = 0
    histogram: str = ""


class SecondTally(_Value):
    """One second of a step, by the time at which calls ended; its histogram has two digits."""

    ok: int = 0
    failed: int = 0
    histogram: str = ""


class Tally(_Value):
    """All calls of a step. seconds: until the last had ended; arrivals: calls that were to be sent."""

    seconds: float = 0.0
    arrivals: int = 0
    dropped: int = 0
    late_sent: int = 0
    lateness: str = ""
    cpu_s: float = 0.0
    calls: dict[str, CallTally] = {}
    errors: list[ErrorTally] = []
    series: dict[int, SecondTally] = {}


class Progress(_Value):
    """How far a process is: calls so far, and the histogram of the last whole second."""

    ok: int = 0
    failed: int = 0
    dropped: int = 0
    histogram: str = ""


def merge(parts: Sequence[Tally]) -> Tally:
    """One tally of those of several processes, which worked at the same time."""
    names = dict.fromkeys(name for part in parts for name in part.calls)
    seconds = sorted({second for part in parts for second in part.series})
    return Tally(
        seconds=max((part.seconds for part in parts), default=0.0),
        arrivals=sum(part.arrivals for part in parts),
        dropped=sum(part.dropped for part in parts),
        late_sent=sum(part.late_sent for part in parts),
        lateness=_add([part.lateness for part in parts]),
        cpu_s=sum(part.cpu_s for part in parts),
        calls={name: merge_calls([part.calls[name] for part in parts if name in part.calls]) for name in names},
        errors=_merge_errors([error for part in parts for error in part.errors]),
        series={
            second: _merge_seconds([part.series[second] for part in parts if second in part.series])
            for second in seconds
        },
    )


def merge_calls(parts: Sequence[CallTally]) -> CallTally:
    """One kind of call over several processes, or several kinds as one."""
    return CallTally(
        codes=dict(sum((Counter(part.codes) for part in parts), Counter())),
        retries=sum(part.retries for part in parts),
        retried=sum(part.retried for part in parts),
        histogram=_add([part.histogram for part in parts]),
    )


def merge_progress(parts: Sequence[Progress]) -> Progress:
    return Progress(
        ok=sum(part.ok for part in parts),
        failed=sum(part.failed for part in parts),
        dropped=sum(part.dropped for part in parts),
        histogram=_add([part.histogram for part in parts], SECOND_DIGITS),
    )


def _merge_seconds(parts: Sequence[SecondTally]) -> SecondTally:
    return SecondTally(
        ok=sum(part.ok for part in parts),
        failed=sum(part.failed for part in parts),
        histogram=_add([part.histogram for part in parts], SECOND_DIGITS),
    )


def _merge_errors(errors: Sequence[ErrorTally]) -> list[ErrorTally]:
    found: dict[tuple[str, str, str], ErrorTally] = {}
    for error in errors:
        key = (error.call, error.code, error.reason)
        found.setdefault(key, error.model_copy(update={"count": 0})).count += error.count
    return sorted(found.values(), key=lambda error: -error.count)


def _add(texts: Sequence[str], digits: int = 3) -> str:
    return encoded(merged([text for text in texts if text], digits))
