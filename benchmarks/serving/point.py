"""One measured point."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """One server under one load, once.

    bare_per_second: what each bare loop reached before and after, mean; empty for open loops. Times are milliseconds.
    ideal_histogram: latencies of a queue of the server's capacity that loses nothing; empty for closed loops.
    """

    server: str
    work: str
    load: str
    repeat: int
    offered_per_second: float | None
    per_second: float
    bare_per_second: dict[str, float]
    histogram: str
    codes: dict[str, int]
    client_cpu_ms: float
    client_cpu_share: float  # of one core
    server_cpu_ms: float
    bare_cpu_ms: dict[str, float]
    memory_mib: float
    lateness_p99_ms: float
    late_sent: int
    dropped: int
    ideal_histogram: str = ""

    def share_of(self, bare: str) -> float | None:
        """Throughput as a share of a bare loop's beside it; None where that did not run."""
        return self.per_second / self.bare_per_second[bare] if bare in self.bare_per_second else None


def point_from(found: dict[str, Any], server_cpu_s: float, **known: Any) -> Point:
    """A point from the report of the load process."""
    answers = max(1, found["ok"])
    return Point(
        per_second=found["ok"] / found["seconds"],
        histogram=found["histogram"],
        codes=found["codes"],
        client_cpu_ms=found["cpu_s"] * 1000 / answers,
        client_cpu_share=found["cpu_s"] / found["seconds"],
        server_cpu_ms=server_cpu_s * 1000 / answers,
        lateness_p99_ms=found["lateness_p99_ms"],
        late_sent=found["late_sent"],
        dropped=found["dropped"],
        **known,
    )
