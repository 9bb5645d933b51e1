"""All-in-one and split against bare ONNX Runtime, in one run on one machine. Command: `make bench`.

Closed loop, distinct JPEGs, no cache, the same decode everywhere. Next to every point the bare loop is measured
again, because a shared machine drifts; ratios are taken within such a pair.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console

from benchmarks.bare import BareLoop
from benchmarks.machine import describe
from benchmarks.pictures import distinct_jpegs
from trunkline.client import Client
from trunkline.core.cpu import available_cores

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
CONCURRENCY = (1, 2, 4, 8, 16)
FORMS = {"all in one": (), "split": ("--split",)}
_console = Console(stderr=True)


@dataclass(frozen=True)
class Point:
    """One measured point beside its bare loop."""

    form: str
    concurrency: int
    per_second: float
    bare_per_second: float
    latencies_ms: tuple[float, float, float]  # p50, p90, p99
    client_cpu_ms: float
    server_cpu_ms: float
    memory_mib: float

    @property
    def share(self) -> float:
        return self.per_second / self.bare_per_second


@contextmanager
def server(arguments: tuple[str, ...]) -> Iterator[tuple[str, psutil.Process]]:
    """A real `trunkline serve` process on a free port, ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", *arguments, "--address", address]
    environment = {**os.environ, "TRUNKLINE_FEATURE_CACHE_BYTES": "0"}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment) as process:
        try:
            with Client(address) as client:
                client.wait_ready(timeout_s=60)
            yield address, psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def measure(form: str, concurrency: int, seconds: float, bare: BareLoop, pictures: list[bytes]) -> Point:
    """One point: the bare loop, then the service under load."""
    bare_per_second = bare.throughput(pictures, seconds / 2)
    with server(FORMS[form]) as (address, process):
        command = [sys.executable, "-m", "benchmarks.load", address, str(concurrency), str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as load:
            assert load.stdout is not None
            load.stdout.readline()  # "warm"
            before = cpu_seconds(process)
            found = json.loads(load.stdout.readline())
        used_s, memory = cpu_seconds(process) - before, memory_mib(process)
    bare_per_second = (bare_per_second + bare.throughput(pictures, seconds / 2)) / 2
    latencies = found["latencies_ms"]
    p50, p90, p99 = (float(value) for value in np.percentile(latencies, [50, 90, 99]))
    return Point(
        form=form,
        concurrency=concurrency,
        per_second=found["per_second"],
        bare_per_second=bare_per_second,
        latencies_ms=(p50, p90, p99),
        client_cpu_ms=found["client_cpu_ms"],
        server_cpu_ms=used_s * 1000 / len(latencies),
        memory_mib=memory,
    )


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    return sum(sum(part.cpu_times()[:2]) for part in tree(process))


def memory_mib(process: psutil.Process) -> float:
    return sum(part.memory_info().rss for part in tree(process)) / 2**20


def table(points: list[Point], command: str, seconds: float, repeats: int) -> str:
    """The report, Markdown."""
    lines = [
        "# Serving against bare ONNX Runtime",
        "",
        f"- machine: {describe()}",
        f"- command: `{command}`, {datetime.now(UTC):%Y-%m-%d}; {seconds:g} s a point, {repeats} repeats",
        "- figures: median and (lowest to highest) of the repeats",
        "- one image a call: JPEG 500x375 in, top-5 of `imagenet` out; no cache; CPU in ms an image",
        "- client and server share the cores",
        "- bare: a thread for each core loops over decode, backbone, head, labels; before and after each point",
        "",
        "| form | callers | images/s | of bare | p50 ms | p90 ms | p99 ms | client CPU | server CPU | server MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    bare = [point.bare_per_second for point in points]
    lines.append(f"| bare loop | {available_cores()} | {spread(bare)} | | | | | | | |")
    for form in FORMS:
        for concurrency in CONCURRENCY:
            group = [point for point in points if (point.form, point.concurrency) == (form, concurrency)]
            if group:
                lines.append(row(form, concurrency, group))
    return "\n".join(lines) + "\n"


def row(form: str, concurrency: int, group: list[Point]) -> str:
    cells = [
        spread([point.per_second for point in group]),
        spread([100 * point.share for point in group], " %"),
        *(spread([point.latencies_ms[index] for point in group]) for index in range(3)),
        f"{statistics.median(point.client_cpu_ms for point in group):.2f}",
        f"{statistics.median(point.server_cpu_ms for point in group):.1f}",
        f"{statistics.median(point.memory_mib for point in group):.0f}",
    ]
    return f"| {form} | {concurrency} | {' | '.join(cells)} |"


def spread(values: list[float], unit: str = "") -> str:
    return f"{statistics.median(values):.1f}{unit} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one point")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "serving.md")
    options = parser.parse_args()
    pictures, bare = distinct_jpegs(300, seed=1), BareLoop()
    bare.throughput(pictures, 1.0)
    points: list[Point] = []
    for repeat in range(options.repeats):
        for form in FORMS:
            for concurrency in CONCURRENCY:
                points.append(measure(form, concurrency, options.seconds, bare, pictures))
                _console.print(
                    f"{repeat + 1}/{options.repeats} {form} x{concurrency}: {points[-1].per_second:.1f}/s, "
                    f"{100 * points[-1].share:.0f} % of bare"
                )
    report = table(points, "make bench", options.seconds, options.repeats)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(report)
    sys.stdout.write(report)


if __name__ == "__main__":
    main()
