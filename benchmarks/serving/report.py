"""The tables of the standard run."""

from collections.abc import Sequence
from typing import Any

from benchmarks.servers import SERVERS
from benchmarks.serving.headlines import headlines
from benchmarks.serving.measure import Lengths
from benchmarks.serving.point import Point
from benchmarks.serving.works import FULL, SHARED, WORKS, Work
from benchmarks.statistics import spread, table
from trunkline.loadtest.histograms import merged, percentile_ms

_COLUMNS = (
    "server", "load", "offered/s", "answers/s", "of bare A", "of bare B", "p50 ms", "p90 ms", "p99 ms", "not OK",
    "client CPU", "server CPU", "server MiB",
)  # fmt: skip


def notes(lengths: Lengths, repeats: int, absent: Sequence[str]) -> list[str]:
    """What a reader must know of the tables."""
    return [
        f"{lengths.closed_s:g} s a closed point, {lengths.open_s:g} s an open one, {repeats} repeats in drawn order",
        "figures: median and (lowest to highest) of the repeats; percentiles over all repeats together",
        "distinct pictures, no feature cache; client and servers share the cores; no call is answered from memory",
        "closed N: so many callers, each asks again when answered; open: Poisson arrivals at a share of the best "
        "closed rate just before, latency from the moment a call was meant to leave",
        "an answer is complete: with four tasks it holds all four; servers of whole models get four calls at once",
        f"bare A: {SHARED}; bare B: {FULL}; a thread for each core, before and after each closed point, ratio of "
        "the pair",
        "Trunkline decodes as bare A does, the others as bare B does",
        "CPU in ms an answer (client: and share of one core); MiB resident, summed over processes",
        *(f"left out: {line}" for line in absent),
    ]


def body(points: Sequence[Point]) -> list[str]:
    """The figures, a section for each kind of work, and one on the load generator."""
    lines: list[str] = [*headlines(points), ""]
    for work in WORKS:
        group = [point for point in points if point.work == work.name]
        if group:
            lines += [f"## {work.title}", "", *_bare(group), "", *_rows(group, work), ""]
    return [*lines, *_generator(points)]


def _bare(group: Sequence[Point]) -> list[str]:
    lines = []
    for letter, name in (("A", SHARED), ("B", FULL)):
        rates = [point.bare_per_second[name] for point in group if name in point.bare_per_second]
        cpu_ms = [point.bare_cpu_ms[name] for point in group if name in point.bare_cpu_ms]
        if rates:
            lines.append(f"Bare {letter}, {name}: {spread(rates)} answers/s, {spread(cpu_ms, 2)} ms of CPU each.")
    return lines


def _rows(group: Sequence[Point], work: Work) -> list[str]:
    rows = []
    for server in SERVERS:
        for load in dict.fromkeys(point.load for point in sorted(group, key=_order)):
            same = [point for point in group if (point.server, point.load) == (server, load)]
            if same:
                rows.append(_row(same))
    return table(_COLUMNS, rows)


def _order(point: Point) -> tuple[bool, int]:
    kind, number = point.load.split()[:2]
    return kind == "open", int(number)


def _row(same: Sequence[Point]) -> list[str]:
    histogram = merged([point.histogram for point in same])
    failed = sum(count for point in same for code, count in point.codes.items() if code != "OK")
    client_share = sum(point.client_cpu_share for point in same) / len(same)
    return [
        same[0].server,
        same[0].load,
        spread([point.offered_per_second for point in same if point.offered_per_second is not None]),
        spread([point.per_second for point in same]),
        _shares(same, SHARED),
        _shares(same, FULL),
        *(f"{percentile_ms(histogram, share):.1f}" for share in (50, 90, 99)),
        str(failed + sum(point.dropped for point in same)),
        f"{spread([p.client_cpu_ms for p in same], 2)}, {100 * client_share:.0f} %",
        spread([point.server_cpu_ms for point in same], 2),
        spread([point.memory_mib for point in same], 0),
    ]


def _shares(same: Sequence[Point], bare: str) -> str:
    return spread([100 * share for point in same if (share := point.share_of(bare)) is not None], 1, " %")


def _generator(points: Sequence[Point]) -> list[str]:
    """The load generator's own error: how late calls left."""
    opened: list[Any] = [point for point in points if point.load.startswith("open")]
    if not opened:
        return []
    calls = sum(sum(point.codes.values()) for point in opened)
    late, dropped = sum(point.late_sent for point in opened), sum(point.dropped for point in opened)
    lateness = spread([point.lateness_p99_ms for point in opened])
    return [
        "## The load generator's own error",
        "",
        f"Of {calls} calls of open loops {late} left more than 5 ms after their time and {dropped} were not sent; "
        f"lateness p99 of a run: {lateness} ms. It is in the latencies above, which count from the intended time.",
    ]
