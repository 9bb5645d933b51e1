"""What became of the calls of one run."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hdrh.histogram import HdrHistogram

_LONGEST_US = 600_000_000
_DIGITS = 3
LATE_MS = 5.0  # a call that left so much after its time counts as late
OK = "OK"


def new_histogram() -> HdrHistogram:
    """For microseconds, 1 to ten minutes, to three digits."""
    return HdrHistogram(1, _LONGEST_US, _DIGITS)


def percentile_ms(histogram: HdrHistogram, share: float) -> float:
    """Latency in milliseconds that `share` percent of the calls did not exceed; nan where there were none."""
    if not histogram.get_total_count():
        return float("nan")
    return float(histogram.get_value_at_percentile(share)) / 1000


def merged(encoded: list[str]) -> HdrHistogram:
    """One histogram of several that were encoded."""
    total = new_histogram()
    for text in encoded:
        total.add(HdrHistogram.decode(text.encode()))
    return total


@dataclass
class Recorder:
    """Codes of all calls; latency of those answered OK, from the moment each was meant to be sent.

    A call that waits because the sender is behind, or because the server stalls, has waited all the same: to count
    from the moment it really left would leave those waits out (coordinated omission).
    """

    deadline_s: float | None = None
    codes: Counter[str] = field(default_factory=Counter)
    latency: HdrHistogram = field(default_factory=new_histogram)
    lateness: HdrHistogram = field(default_factory=new_histogram)
    late_sent: int = 0
    late_answers: int = 0
    dropped: int = 0

    def sent(self, intended_s: float, now_s: float) -> None:
        """A call left that was meant for `intended_s`."""
        late_s = max(0.0, now_s - intended_s)
        self.lateness.record_value(max(1, round(late_s * 1e6)))
        self.late_sent += late_s * 1000 > LATE_MS

    def answered(self, code: str, intended_s: float, now_s: float) -> None:
        """A call ended with a status code."""
        self.codes[code] += 1
        if code != OK:
            return
        took_s = now_s - intended_s
        self.latency.record_value(min(_LONGEST_US, max(1, round(took_s * 1e6))))
        self.late_answers += self.deadline_s is not None and took_s > self.deadline_s

    def report(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "codes": dict(self.codes),
            "ok": self.codes[OK],
            "histogram": self.latency.encode().decode(),
            "lateness_p99_ms": percentile_ms(self.lateness, 99) if self.lateness.get_total_count() else 0.0,
            "late_sent": self.late_sent,
            "late_answers": self.late_answers,
            "dropped": self.dropped,
        }
