"""What became of the calls of one run, all of one kind."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hdrh.histogram import HdrHistogram

from trunkline.loadtest.histograms import encoded, new_histogram, percentile_ms, record_s

LATE_MS = 5.0  # a call that left so much after its time counts as late
OK = "OK"


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
        record_s(self.lateness, late_s)
        self.late_sent += late_s * 1000 > LATE_MS

    def answered(self, code: str, intended_s: float, now_s: float) -> None:
        """A call ended with a status code."""
        self.codes[code] += 1
        if code != OK:
            return
        took_s = now_s - intended_s
        record_s(self.latency, took_s)
        self.late_answers += self.deadline_s is not None and took_s > self.deadline_s

    def drop(self) -> None:
        """An arrival found no place in time and was not sent."""
        self.dropped += 1

    def report(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "codes": dict(self.codes),
            "ok": self.codes[OK],
            "histogram": encoded(self.latency),
            "lateness_p99_ms": percentile_ms(self.lateness, 99) if self.lateness.get_total_count() else 0.0,
            "late_sent": self.late_sent,
            "late_answers": self.late_answers,
            "dropped": self.dropped,
        }
