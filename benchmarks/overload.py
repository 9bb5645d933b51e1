"""Open loop below, at and above the capacity, with a deadline for each call: what is still worth something."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.load.process import Load, load_process
from benchmarks.load.queue import ideal_histogram
from benchmarks.output import Output, tell
from benchmarks.plotting import COLOURS, panels, save
from benchmarks.repository import IMAGENET
from benchmarks.servers import SERVERS, Models, ServerName, running
from benchmarks.setting import models, servers_at_hand
from benchmarks.statistics import spread, table
from trunkline.core.cpu import available_cores
from trunkline.loadtest.histograms import merged, percentile_ms
from trunkline.loadtest.recorder import OK

FACTORS = (0.5, 0.8, 1.0, 1.5, 2.0)
_COLUMNS = (
    "server", "load / capacity", "offered/s", "goodput/s", "of capacity", "p50 ms", "p99 ms", "ideal p50 ms",
    "ideal p99 ms", "not OK, by code", "late answers",
)  # fmt: skip


def run(output: Output, *, seconds: float = 8.0, deadline_s: float = 0.5, repeats: int = 2) -> None:
    """Writes overload.md, .json and goodput.png."""
    servers, absent = servers_at_hand(SERVERS)
    found: list[dict[str, Any]] = []
    with models() as made:
        for repeat in range(repeats):
            for server in servers:
                found.extend(_one_server(server, made, seconds, deadline_s, repeat))
    notes = [
        f"one task from a JPEG of 500x375; {seconds:g} s a point, Poisson arrivals, {repeats} repeats",
        f"every call has a deadline of {1000 * deadline_s:g} ms from the moment it was meant to leave",
        "capacity: closed loop with 16 callers just before and after each point, mean; load from the one before",
        "goodput: answers within the deadline; late answers: OK, but after the deadline",
        "p50 and p99 of the calls that were answered OK",
        "ideal: a queue with this capacity and the same arrivals, first come first served, that loses nothing and"
        " refuses nothing; below the capacity what a server has above it is its own",
        *(f"left out: {line}" for line in absent),
    ]
    output.write("overload", "Overload", notes, table(_COLUMNS, _rows(found, servers)), found)
    _plot(found, servers, output)


def _one_server(
    server: ServerName, made: Models, seconds: float, deadline_s: float, repeat: int
) -> list[dict[str, Any]]:
    done = []
    with running(server, made, [IMAGENET]) as started, load_process([started.target()], seed=repeat) as load:
        load.order("labels")
        before = _capacity(load)
        for factor in FACTORS:
            rate = factor * before
            point = load.order("open", rate=rate, seconds=seconds, seed=repeat, timeout_s=deadline_s)
            after = _capacity(load)  # the machine drifts: on both sides of each point
            capacity = (before + after) / 2
            goodput = (point["ok"] - point["late_answers"]) / seconds
            tell(f"{repeat + 1}: {server} at {factor:g}: {goodput:.1f} of {capacity:.1f}/s, {point['codes']}")
            known = {"server": server, "factor": factor, "rate": rate, "capacity": capacity, "goodput": goodput}
            ideal = ideal_histogram(rate, seconds, repeat, capacity, available_cores())
            done.append({**known, **point, "ideal": ideal})
            before = after
    return done


def _capacity(load: Load) -> float:
    """Answers per second to 16 callers."""
    probe = load.order("closed", callers=16, seconds=2.0)
    return float(probe["ok"] / probe["seconds"])


def _rows(found: Sequence[dict[str, Any]], servers: Sequence[str]) -> list[list[str]]:
    rows = []
    for server in servers:
        for factor in FACTORS:
            same = [point for point in found if (point["server"], point["factor"]) == (server, factor)]
            histogram, ideal = (merged([point[of] for point in same]) for of in ("histogram", "ideal"))
            codes = sum((Counter(point["codes"]) for point in same), Counter())
            refused = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()) if code != OK)
            rows.append([
                server,
                f"{factor:g}",
                spread([point["rate"] for point in same]),
                spread([point["goodput"] for point in same]),
                spread([100 * point["goodput"] / point["capacity"] for point in same], 0, " %"),
                *(f"{percentile_ms(each, share):.0f}" for each in (histogram, ideal) for share in (50, 99)),
                refused or "none",
                str(sum(point["late_answers"] for point in same)),
            ])  # fmt: skip
    return rows


def _plot(found: Sequence[dict[str, Any]], servers: Sequence[str], output: Output) -> None:
    figure, (axis,) = panels(1, 6.0)
    axis.plot([0, 1, max(FACTORS)], [0, 100, 100], color="black", linestyle="--", label="ideal")
    for server in servers:
        means = []
        for factor in FACTORS:
            same = [point for point in found if (point["server"], point["factor"]) == (server, factor)]
            means.append(sum(100 * point["goodput"] / point["capacity"] for point in same) / len(same))
        axis.plot(FACTORS, means, marker="o", label=server, color=COLOURS[server])
    axis.set(xlabel="offered load / capacity", ylabel="goodput, % of the capacity", ylim=(0, None))
    axis.legend()
    save(figure, output.plot("goodput"))
