"""Takes note of the calls of one step in one process."""

from collections import Counter
from dataclasses import dataclass, field

from hdrh.histogram import HdrHistogram

from trunkline.loadtest.caller import Answer
from trunkline.loadtest.histograms import encoded, new_histogram, record_s
from trunkline.loadtest.recorder import LATE_MS
from trunkline.loadtest.tally import SECOND_DIGITS, CallTally, ErrorTally, Progress, SecondTally, Tally


@dataclass
class _Kind:
    codes: Counter[str] = field(default_factory=Counter)
    latency: HdrHistogram = field(default_factory=new_histogram)
    retries: int = 0
    retried: int = 0

    def tally(self) -> CallTally:
        return CallTally(
            codes=dict(self.codes), retries=self.retries, retried=self.retried, histogram=encoded(self.latency)
        )


class TallyJournal:
    """A loops.Journal that makes a Tally. Latency is that of calls that were answered OK."""

    def __init__(self, started_at: float) -> None:
        """started_at: as time.perf_counter says it."""
        self._started_at = started_at
        self._kinds: dict[str, _Kind] = {}
        self._errors: dict[tuple[str, str, str], ErrorTally] = {}
        self._series: dict[int, SecondTally] = {}
        self._second = 0
        self._now = SecondTally()
        self._latency_now = new_histogram(SECOND_DIGITS)
        self._lateness = new_histogram()
        self._late_sent = 0
        self._so_far = Progress()

    def sent(self, intended_s: float, now_s: float) -> None:
        late_s = now_s - intended_s
        record_s(self._lateness, late_s)
        self._late_sent += late_s * 1000 > LATE_MS

    def drop(self) -> None:
        self._so_far.dropped += 1

    def answered(self, answer: Answer, intended_s: float, now_s: float) -> None:
        self._roll(int(now_s - self._started_at))
        kind = self._kinds.setdefault(answer.call.name, _Kind())
        kind.codes[answer.code] += 1
        kind.retries += answer.retries
        kind.retried += answer.retries > 0
        if answer.error is not None:
            return self._failed(answer)
        self._so_far.ok += 1
        self._now.ok += 1
        record_s(kind.latency, now_s - intended_s)
        return record_s(self._latency_now, now_s - intended_s)

    def progress(self) -> Progress:
        """So far, with the latency of the last second that is over."""
        self._so_far.histogram = self._series[max(self._series)].histogram if self._series else ""
        return self._so_far

    def tally(self, seconds: float, cpu_s: float) -> Tally:
        """All of it, once the step is over."""
        self._roll(self._second + 1)
        return Tally(
            seconds=seconds,
            arrivals=self._so_far.ok + self._so_far.failed + self._so_far.dropped,
            dropped=self._so_far.dropped,
            late_sent=self._late_sent,
            lateness=encoded(self._lateness),
            cpu_s=cpu_s,
            calls={name: kind.tally() for name, kind in self._kinds.items()},
            errors=list(self._errors.values()),
            series=self._series,
        )

    def _failed(self, answer: Answer) -> None:
        self._so_far.failed += 1
        self._now.failed += 1
        assert answer.error is not None
        call, code, reason = answer.call.name, answer.error.code, answer.error.reason
        error = self._errors.get((call, code, reason))
        if error is None:
            error = ErrorTally(call=call, code=code, reason=reason, message=answer.error.message)
            self._errors[call, code, reason] = error
        error.count += 1

    def _roll(self, second: int) -> None:
        """Close the second that is kept open, where a later one has begun."""
        if second <= self._second:
            return
        if self._now.ok or self._now.failed:
            self._now.histogram = encoded(self._latency_now)
            self._series[self._second] = self._now
            self._now, self._latency_now = SecondTally(), new_histogram(SECOND_DIGITS)
        self._second = second
