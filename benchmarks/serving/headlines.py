"""The figures that the product is held to, from the points of a run."""

from collections.abc import Callable, Sequence

from benchmarks.servers import ALL_IN_ONE, HANDWRITTEN, MLSERVER, SPLIT
from benchmarks.serving.point import Point
from benchmarks.serving.works import EMPTY, FOUR, FULL, JPEG, SHARED, TENSOR, Work
from benchmarks.statistics import spread, table
from trunkline.loadtest.histograms import merged, percentile_ms

Select = Callable[[Work, str, str], list[Point]]


def headlines(points: Sequence[Point]) -> list[str]:
    """A table: what, aim, measured. Only what was measured has a row."""
    most = max((int(point.load.split()[1]) for point in points if point.load.startswith("closed")), default=0)
    closed = f"closed {most}"

    def select(work: Work, server: str, load: str = closed) -> list[Point]:
        wanted = (work.name, server, load)
        return sorted((p for p in points if (p.work, p.server, p.load) == wanted), key=lambda p: p.repeat)

    rows = [
        (f"one task, JPEG, {most} callers: all in one of bare A", "97 %", _share(select(JPEG, ALL_IN_ONE), SHARED)),
        (f"one task, JPEG, {most} callers: hand-written of bare B", "", _share(select(JPEG, HANDWRITTEN), FULL)),
        (f"one task, JPEG, {most} callers: all in one of bare B", "115 %", _share(select(JPEG, ALL_IN_ONE), FULL)),
        (f"one task, pixels, {most} callers: all in one of A", "97 %", _share(select(TENSOR, ALL_IN_ONE), SHARED)),
        ("the most that a client on the same cores leaves", "", _left(select(JPEG, ALL_IN_ONE), SHARED)),
        ("with the client elsewhere, by CPU: all in one of bare A", "", _by_cpu(select(JPEG, ALL_IN_ONE), SHARED)),
        ("with the client elsewhere, by CPU: hand-written of bare B", "", _by_cpu(select(JPEG, HANDWRITTEN), FULL)),
        *((f"CPU of the serving layer, ms a call: {server}", aim, _layer(select(EMPTY, server, "closed 4")))
          for server, aim in ((ALL_IN_ONE, "0.5"), (SPLIT, ""), (HANDWRITTEN, ""), (MLSERVER, ""))),
        ("p50 of one caller, JPEG, all in one, ms", "17", _percentile(select(JPEG, ALL_IN_ONE, "closed 1"), 50)),
        ("p99 at 80 % load, JPEG, all in one, ms", "100", _percentile(select(JPEG, ALL_IN_ONE, "open 80 %"), 99)),
        ("that of an ideal queue with this capacity", "", _ideal(select(JPEG, ALL_IN_ONE, "open 80 %"), 99)),
        ("four heads: cost in costs of one", "1.3", _times(select(JPEG, ALL_IN_ONE), select(FOUR, ALL_IN_ONE))),
        ("four heads: all in one of bare A", "90 %", _share(select(FOUR, ALL_IN_ONE), SHARED)),
        *((f"four tasks: all in one, times {server} with four models", "3",
           _times(select(FOUR, ALL_IN_ONE), select(FOUR, server))) for server in (HANDWRITTEN, MLSERVER)),
        ("one task, JPEG: split, times all in one", "0.8", _times(select(JPEG, SPLIT), select(JPEG, ALL_IN_ONE))),
        ("four heads: split, times all in one", "0.8", _times(select(FOUR, SPLIT), select(FOUR, ALL_IN_ONE))),
    ]  # fmt: skip
    return ["## Figures", "", *table(("figure", "aim", "measured"), [row for row in rows if row[-1]])]


def _share(same: Sequence[Point], bare: str) -> str:
    return spread([100 * share for point in same if (share := point.share_of(bare)) is not None], 1, " %")


def _left(same: Sequence[Point], bare: str) -> str:
    """What a server that costs nothing would reach beside this client."""
    pairs = [(point.bare_cpu_ms[bare], point.client_cpu_ms) for point in same if bare in point.bare_cpu_ms]
    return spread([100 * own / (own + client) for own, client in pairs], 1, " %")


def _by_cpu(same: Sequence[Point], bare: str) -> str:
    """CPU of an answer in the bare loop, of that in the server."""
    pairs = [(point.bare_cpu_ms[bare], point.server_cpu_ms) for point in same if bare in point.bare_cpu_ms]
    return spread([100 * own / server for own, server in pairs], 1, " %")


def _layer(same: Sequence[Point]) -> str:
    """What a server uses above the bare loop with the same model, which is next to nothing."""
    return spread([point.server_cpu_ms - min(point.bare_cpu_ms.values()) for point in same if point.bare_cpu_ms], 2)


def _percentile(same: Sequence[Point], share: float) -> str:
    return f"{percentile_ms(merged([point.histogram for point in same]), share):.1f}" if same else ""


def _ideal(same: Sequence[Point], share: float) -> str:
    kept = [point.ideal_histogram for point in same if point.ideal_histogram]
    return f"{percentile_ms(merged(kept), share):.1f}" if kept else ""


def _times(upper: Sequence[Point], lower: Sequence[Point]) -> str:
    """Ratio of the rates, repeat by repeat, each as a share of bare A beside it, so that drift does not count."""
    pairs = [(u, v) for u in upper for v in lower if u.repeat == v.repeat and v.per_second]
    if {(u.work, v.work) for u, v in pairs} <= {(JPEG.name, JPEG.name), (FOUR.name, FOUR.name)}:
        shares = [((u.share_of(SHARED) or 0.0), (v.share_of(SHARED) or 0.0)) for u, v in pairs]
        return spread([u / v for u, v in shares if v], 2)
    return spread([u.per_second / v.per_second for u, v in pairs], 2)
