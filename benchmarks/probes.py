"""CPU of probes that are commands: `trunkline health` beside `trunkline-health` of the images.

    python -m benchmarks.probes

Each probe is a process of its own that asks an idle service once, over a new connection. The two take turns, so that
both see the same machine. CPU of the command is that of its process (user and system), CPU of the service is what it
used above what it uses without probes in the same time.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.launch import wait_serving
from benchmarks.output import RESULTS, Output
from benchmarks.servers import free_port
from benchmarks.usage import cpu_seconds

IMAGES = Path(__file__).parents[1] / "deploy/images"
_QUIET = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
PODS = 15
PROBES_A_SECOND = 1 / 15 + 1 / 30  # of one pod: readiness and life, as the chart asks with commands


def compiled(folder: Path) -> Path:
    """`trunkline-health` as the image has it. Raises FileNotFoundError without a C compiler."""
    recipe = (IMAGES / "Containerfile").read_text(encoding="utf-8")
    (flags,) = re.findall(r"^RUN cc (.*) -o trunkline-health health.c$", recipe, re.MULTILINE)
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    program = folder / "trunkline-health"
    subprocess.run(["cc", *flags.split(), *strict, "-o", program, IMAGES / "health.c"], check=True)
    return program


@dataclass(frozen=True)
class Batch:
    """CPU of each probe of the command and of the service, and how long one took, milliseconds."""

    command_ms: float
    service_ms: float
    wall_ms: float


@contextmanager
def service() -> Iterator[tuple[str, psutil.Process]]:
    """An idle service, and its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", "--address", address]
    environment = {**os.environ, "TRUNKLINE_HEADS": "imagenet", "TRUNKLINE_TRAINING_JOBS": "0"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        found = psutil.Process(process.pid)
        try:
            wait_serving(address, found)
            yield address, found
        finally:
            process.terminate()


def idle_share(process: psutil.Process, seconds: float) -> float:
    """Cores that the service uses when nobody asks."""
    before = cpu_seconds(process)
    time.sleep(seconds)
    return (cpu_seconds(process) - before) / seconds


def probe(command: Sequence[str], process: psutil.Process, idle: float, times: int) -> Batch:
    before, began, own_s = cpu_seconds(process), time.monotonic(), 0.0
    for _ in range(times):
        child = os.posix_spawn(command[0], command, os.environ, file_actions=_QUIET)
        _, status, used = os.wait4(child, 0)
        if status != 0:
            raise RuntimeError(f"{' '.join(command)} ended with status {status}")
        own_s += used.ru_utime + used.ru_stime
    wall_s = time.monotonic() - began
    service_s = max(0.0, cpu_seconds(process) - before - idle * wall_s)
    return Batch(own_s / times * 1000, service_s / times * 1000, wall_s / times * 1000)


def _shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _row(name: str, found: list[Batch]) -> str:
    rate = PODS * PROBES_A_SECOND
    cells = [
        _shown([each.command_ms for each in found]),
        _shown([each.service_ms for each in found]),
        _shown([each.wall_ms for each in found]),
        _shown([(each.command_ms + each.service_ms) * rate for each in found]),
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probes", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, service() as (address, process):
        small = str(compiled(Path(folder)))
        commands = {
            "`trunkline health`": ([sys.executable, "-m", "trunkline.cli.main", "health", address], 10),
            "`trunkline-health`": ([small, address], 200),
        }
        idle = idle_share(process, 10)
        found: dict[str, list[Batch]] = {name: [] for name in commands}
        for _ in range(given.repeats):
            for name, (command, times) in commands.items():
                found[name].append(probe([*command, "--service", "live"], process, idle, times))
    Output(given.out, "python -m benchmarks.probes").write(
        "probes",
        "Probes that are commands",
        [
            f"{given.repeats} repeats in turn, 10 and 200 probes each; median and (lowest to highest)",
            f"a second of {PODS} pods: {PODS * PROBES_A_SECOND:.1f} probes (readiness every 15 s, life every 30 s); "
            "what the container runtime spends on starting a process in a container comes on top, the same for both",
            "other work ran beside, which changes times until answered, and CPU little",
        ],
        [
            f"| probe | command, CPU ms | service, CPU ms | until answered, ms | {PODS} idle pods, CPU ms a second |",
            "| --- | --- | --- | --- | --- |",
            *(_row(name, batches) for name, batches in found.items()),
        ],
        {name: [vars(each) for each in batches] for name, batches in found.items()},
    )


if __name__ == "__main__":
    main()
