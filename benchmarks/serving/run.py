"""Runs everything, in an order that is drawn anew for each repeat."""

import random
from collections.abc import Mapping
from dataclasses import asdict

from benchmarks.bare import Bare
from benchmarks.load.process import load_process
from benchmarks.output import Output, tell
from benchmarks.servers import SERVERS, Models, ServerName, running
from benchmarks.serving.measure import Beside, Lengths, Subject, points
from benchmarks.serving.plots import plot_latency, plot_throughput
from benchmarks.serving.point import Point
from benchmarks.serving.report import body, notes
from benchmarks.serving.works import GROUPS, WORKS, Work
from benchmarks.setting import models, servers_at_hand

QUICK = Lengths(closed_s=1.2, open_s=1.5, bare_s=0.3, callers=(4, 16))
SEED = 4


def run(output: Output, *, quick: bool = False, repeats: int = 3) -> None:
    """The standard run; `quick` is one short repeat, to see that all works."""
    lengths, repeats = (QUICK, 1) if quick else (Lengths(), repeats)
    servers, absent = servers_at_hand(SERVERS)
    found: list[Point] = []
    with models() as made:
        loops = {work.name: work.bare(made) for work in WORKS}
        for repeat in range(repeats):
            plan = [(server, group) for server in servers for group in GROUPS]
            random.Random(SEED + repeat).shuffle(plan)
            for server, group in plan:
                found.extend(_measured(server, group, made, loops, lengths, repeat, absent))
    absent = list(dict.fromkeys(absent))
    output.write("serving", "Serving against bare ONNX Runtime", notes(lengths, repeats, absent), body(found),
                 [asdict(point) for point in found])  # fmt: skip
    plot_throughput(found, output.plot("throughput"))
    plot_latency(found, output.plot("latency"))


def _measured(
    server: ServerName,
    group: tuple[Work, ...],
    made: Models,
    loops: Mapping[str, Mapping[str, Bare]],
    lengths: Lengths,
    repeat: int,
    absent: list[str],
) -> list[Point]:
    """All points of a group of works on a server that is started for it. What it cannot do goes to `absent`."""
    done: list[Point] = []
    with (
        running(server, made, group[0].heads) as started,
        load_process([started.target(given=work.given) for work in group], seed=repeat) as load,
    ):
        for place, work in enumerate(group):
            # The first work waits until models are loaded; what fails after that is not known to the server.
            answer = load.order("labels", target=place, timeout_s=10.0 if place else 60.0)
            if "absent" in answer:
                tell(f"{server}, {work.name}: {answer['absent']}")
                absent.append(f"{server} has no row for {work.name}: {answer['absent']}")
                continue
            beside = Beside(loops[work.name], work, lengths.bare_s)
            done.extend(points(Subject(started, load, place, repeat), work, beside, lengths))
    return done
