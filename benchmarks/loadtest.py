"""What the load generator itself can do, and how far what it says is from what is known."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks.known_server import known_server
from benchmarks.load.queue import ideal_latencies
from benchmarks.output import Output, tell
from benchmarks.statistics import spread, table
from benchmarks.usage import cpu_seconds
from trunkline.loadtest.figures import cores, figures_of
from trunkline.loadtest.fleet import fleet
from trunkline.loadtest.plan import Arrivals, Closed, Open, Part, Setup, Step
from trunkline.loadtest.tally import Tally

_CEILINGS = ((1, 8), (1, 32), (2, 32))  # processes, callers
_ARRIVALS: tuple[tuple[int, float, Arrivals], ...] = (
    (1, 50.0, "poisson"), (1, 200.0, "poisson"), (3, 200.0, "poisson"), (1, 50.0, "constant"), (3, 200.0, "constant"),
)  # fmt: skip
_QUEUES = ((1, 10.0, 0.5), (1, 10.0, 0.8), (2, 20.0, 0.8))  # places, ms, share of the capacity
_SHARES = (50.0, 90.0, 99.0)
_SEED = 1
_SAME = 1e-6


class Gaps(NamedTuple):
    """Gaps between arrivals. deviation: standard deviation / mean; ks: distance from the exponential, and p_value its
    chance, where they are to be so; lag: correlation of neighbours, where they are not all the same.
    """

    rate_per_s: float
    deviation: float
    ks: float | None
    p_value: float | None
    lag: float | None


def run(output: Output, *, seconds: float = 10.0, repeats: int = 3) -> None:
    """Writes loadtest.md and .json."""
    ceilings = [_ceiling(*each, seconds / 2) for _ in range(repeats) for each in _CEILINGS]
    arrivals = [_arrivals(*each, 2 * seconds) for each in _ARRIVALS]
    queues = [_queue(*each, 2 * seconds) for each in _QUEUES]
    body = [
        "## Ceiling: calls a second against a server that answers at once, of 50 kB each", "",
        *table(("processes", "callers", "calls/s", "cores of the generator", "calls/s for each core of it",
                "cores of the server"), _ceiling_rows(ceilings)), "",
        "## Arrivals: planned / as the server saw them", "",
        *table(("processes", "asked", "calls/s", "deviation of the gaps / mean", "KS distance from exponential",
                "p value", "correlation of neighbours", "seen after the plan, p50 ms", "p99 ms"),
               _arrival_rows(arrivals)), "",
        "## Latency against a queue whose answers are known: measured / exact, ms", "",
        *table(("places x time", "load / capacity", "calls", *(f"p{share:g}" for share in _SHARES), "mean"),
               _queue_rows(queues)),
    ]  # fmt: skip
    notes = [
        f"ceiling: {seconds / 2:g} s a figure, {repeats} repeats; server and generator share the cores, and the "
        "server is Python too, so that the column for each core is what another machine can count on",
        "an exponential gap has deviation 1; constant gaps 0. KS: Kolmogorov-Smirnov; a p value below 0.01 says that "
        "the gaps are not exponential",
        "seen after the plan: from the call that came through best",
        "exact: the same arrivals in a queue that takes just this time for each call, without gRPC and any noise",
    ]
    data = {"ceilings": ceilings, "arrivals": arrivals, "queues": queues}
    output.write("loadtest", "The load generator itself", notes, body, data)


def gaps(times_s: Sequence[float], *, exponential: bool) -> Gaps:
    """times_s: arrivals, ascending seconds; at least three."""
    between = np.diff(np.asarray(times_s))  # (calls - 1,)
    mean = float(between.mean())
    deviation = float(between.std()) / mean
    ks, p_value = map(float, stats.kstest(between / mean, "expon")) if exponential else (None, None)
    lag = float(np.corrcoef(between[:-1], between[1:])[0, 1]) if deviation > _SAME else None
    return Gaps(1 / mean, deviation, ks, p_value, lag)


def measure(setup: Setup, step: Step) -> Tally:
    """One step without warm-up."""

    async def one() -> Tally:
        async with fleet(setup) as workers:
            return await workers.run(step)

    return asyncio.run(one())


def exact_ms(setup: Setup, step: Step, places: int, takes_ms: float) -> np.ndarray:
    """Latencies in a queue that is exact, for the arrivals of the first step of a run: float64 (calls,)."""
    return 1000 * ideal_latencies(planned_s(setup, step), places * 1000 / takes_ms, places)


def planned_s(setup: Setup, step: Step) -> np.ndarray:
    """When the calls of the first step of a run are to leave, all processes together: float64 (calls,), seconds."""
    load, of = step.load, setup.processes
    assert load.kind == "open"
    parts = [Part(step=step, number=1, index=index, of=of, start_at=0) for index in range(of)]
    return np.sort(np.concatenate([part.arrivals_s(load, setup.seed) for part in parts]))  # (calls,)


def _setup(address: str, processes: int) -> Setup:
    return Setup(target=address, mix=("classify",), processes=processes, seed=_SEED)


def _ceiling(processes: int, callers: int, seconds: float) -> dict[str, Any]:
    with known_server() as server:
        before_s, began_at = cpu_seconds(server.process), time.perf_counter()
        tally = measure(_setup(server.address, processes), Step(load=Closed(callers=callers), seconds=seconds))
        server_cores = (cpu_seconds(server.process) - before_s) / (time.perf_counter() - began_at)
    per_second = figures_of(tally).per_second
    tell(f"{processes} processes, {callers} callers: {per_second:.0f}/s")
    used = cores(tally)
    return {
        "processes": processes, "callers": callers, "per_second": per_second, "cores": used,
        "per_core": per_second / used, "server_cores": server_cores,
    }  # fmt: skip


def _arrivals(processes: int, rate: float, kind: Arrivals, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arrivals"
        with known_server("--arrivals", str(file)) as server:
            step = Step(load=Open(rate=rate, arrivals=kind), seconds=seconds)
            setup = _setup(server.address, processes)
            measure(setup, step)
        seen_s = np.sort(np.loadtxt(file, ndmin=1))  # (calls,)
    plan_s = planned_s(setup, step)  # (calls,)
    after_ms = 1000 * (seen_s - plan_s)  # (calls,)
    after_ms -= after_ms.min()  # the clocks begin at different times
    found = {name: gaps(times, exponential=kind == "poisson") for name, times in (("plan", plan_s), ("seen", seen_s))}
    tell(f"{step.load.name}, {processes} processes: {found}")
    return {
        "processes": processes, "asked": step.load.name, **{name: each._asdict() for name, each in found.items()},
        "after_ms": [float(np.percentile(after_ms, share)) for share in (50, 99)],
    }  # fmt: skip


def _queue(places: int, takes_ms: float, share: float, seconds: float) -> dict[str, Any]:
    step = Step(load=Open(rate=share * places * 1000 / takes_ms), seconds=seconds)
    with known_server("--places", str(places), "--takes-ms", str(takes_ms)) as server:
        setup = _setup(server.address, 1)
        figures = figures_of(measure(setup, step))
    exact = exact_ms(setup, step, places, takes_ms)  # (calls,)
    found: dict[str, Any] = {"places": places, "takes_ms": takes_ms, "share": share, "calls": figures.arrivals}
    for percent in _SHARES:
        found[f"p{percent:g}"] = (figures.percentile_ms(percent), float(np.percentile(exact, percent)))
    found["mean"] = (figures.mean_ms, float(exact.mean()))
    tell(f"{places} x {takes_ms:g} ms at {share:g}: {found}")
    return found


def _ceiling_rows(found: Sequence[dict[str, Any]]) -> list[list[str]]:
    rows, names = [], (("per_second", 0), ("cores", 2), ("per_core", 0), ("server_cores", 2))
    for processes, callers in _CEILINGS:
        same = [each for each in found if (each["processes"], each["callers"]) == (processes, callers)]
        shown = [spread([each[name] for each in same], digits) for name, digits in names]
        rows.append([str(processes), str(callers), *shown])
    return rows


def _arrival_rows(found: Sequence[dict[str, Any]]) -> list[list[str]]:
    names = (("rate_per_s", 1), ("deviation", 3), ("ks", 4), ("p_value", 2), ("lag", 3))
    rows = []
    for each in found:
        pairs = (
            f"{_cell(each['plan'][name], digits)} / {_cell(each['seen'][name], digits)}" for name, digits in names
        )
        rows.append([str(each["processes"]), each["asked"], *pairs, *(f"{after:.1f}" for after in each["after_ms"])])
    return rows


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _queue_rows(found: Sequence[dict[str, Any]]) -> list[list[str]]:
    columns = (*(f"p{share:g}" for share in _SHARES), "mean")
    return [
        [
            f"{each['places']} x {each['takes_ms']:g} ms", f"{each['share']:g}", str(each["calls"]),
            *(f"{each[column][0]:.1f} / {each[column][1]:.1f}" for column in columns),
        ]
        for each in found
    ]  # fmt: skip
