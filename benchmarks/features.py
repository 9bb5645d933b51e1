"""The way of the features: all in one against split, shared against inline. Command: `python -m benchmarks.features`.

Two heads: `imagenet` takes 5 KB a call, `maps` takes c2, c3, c4 and c5 of 512x512, 3 MB, and hardly computes. The
servers of all forms run at the same time and are asked in turn, so that a machine that drifts does so for each.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import describe
from benchmarks.pictures import distinct_jpegs
from tests.conftest import Server, start_server
from tests.service.bundles import add_map_head, linked_repository
from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2, tensor_pb2
from trunkline.client import AsyncClient
from trunkline.serving import wire
from trunkline.serving.shared.reader import ArenaReader
from trunkline.serving.shared.tensors import MIN_BYTES
from trunkline.serving.shared.writer import Arena

ROOT = Path(__file__).parents[1]
MAPS, SIDE = ("c2", "c3", "c4", "c5"), 512
ALL_IN_ONE, SHARED, INLINE = FORMS = ("all in one", "split, shared", "split, inline")
CASES = (("imagenet", 4), ("imagenet", 16), ("maps", 1), ("maps", 4))
SIZES = (4, 16, 64, 256, 1024, 4096)  # KiB


@dataclass(frozen=True)
class Point:
    """One closed loop against one form."""

    per_second: float
    p50_ms: float
    cpu_ms: float  # of client and server, for each answer


async def closed_loop(address: str, head: str, callers: int, seconds: float, pictures: list[bytes]) -> list[float]:
    """Milliseconds of each answer."""
    turn, latencies = itertools.cycle(pictures), []

    async def caller(client: AsyncClient, ends_at: float) -> None:
        while (sent_at := time.perf_counter()) < ends_at:
            (outcome,) = (await client.analyze(next(turn), [head])).outcomes
            assert outcome.error is None, outcome.error
            latencies.append((time.perf_counter() - sent_at) * 1000)

    async with AsyncClient(address) as client:
        await asyncio.gather(*(caller(client, time.perf_counter() + seconds) for _ in range(callers)))
    return latencies


def measure(server: Server, head: str, callers: int, seconds: float, pictures: list[bytes]) -> Point:
    """Half a second to get warm, then a point."""
    asyncio.run(closed_loop(server.address, head, callers, 0.5, pictures))
    cpu_before_s, started_at = cpu_s(server), time.perf_counter()
    latencies = asyncio.run(closed_loop(server.address, head, callers, seconds, pictures))
    took_s = time.perf_counter() - started_at
    used_ms = (cpu_s(server) - cpu_before_s) * 1000
    return Point(len(latencies) / took_s, statistics.median(latencies), used_ms / len(latencies))


def cpu_s(server: Server) -> float:
    """CPU seconds of the server's processes and of this one, the client."""
    process = psutil.Process(server.process.pid)
    parts = [psutil.Process(), process, *process.children(recursive=True)]
    return sum(sum(part.cpu_times()[:2]) for part in parts)


def run(seconds: float, repeats: int) -> dict[tuple[str, int, str], list[Point]]:
    """Points by head, callers and form."""
    points: dict[tuple[str, int, str], list[Point]] = {}
    pictures = distinct_jpegs(100, seed=1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = linked_repository(ROOT / "models", folder)
        add_map_head(store, "maps", MAPS, SIDE)
        given = ["--models", str(store)]
        servers = {
            ALL_IN_ONE: stack.enter_context(start_server(folder / "one", *given)),
            SHARED: stack.enter_context(start_server(folder / "shared", "--split", *given)),
            INLINE: stack.enter_context(
                start_server(folder / "inline", "--split", *given, TRUNKLINE_SHARED_MEMORY_MIB="0")
            ),
        }
        for repeat, (head, callers), form in itertools.product(range(repeats), CASES, FORMS):
            point = measure(servers[form], head, callers, seconds, pictures)
            points.setdefault((head, callers, form), []).append(point)
            print(f"{repeat + 1}/{repeats} {head} x{callers} {form}: {point}", file=sys.stderr, flush=True)
    return points


def way_ms(array: np.ndarray, arena: Arena | None, reader: ArenaReader, rounds: int) -> float:
    """Milliseconds of CPU on the way of a tensor from backbone to gateway to head, without the sockets."""
    started_at = time.process_time()
    for _ in range(rounds):
        if arena is None:
            tensor = wire.tensor_to_pb(array)
        else:
            tensor = wire.shape_to_pb(array)
            (region,) = arena.write([array], 0.0) or ()
            tensor.shared.CopyFrom(tensor_pb2.SharedRegion(**vars(region)))
        sent = backbone_service_pb2.ExtractFeaturesResponse(features={"x": tensor}).SerializeToString()
        passing = backbone_service_pb2.ExtractFeaturesResponse.FromString(sent).features["x"]
        question = wire.predict_request(head_service_pb2.PredictRequest(), {"x": wire.remote_feature("x", passing)})
        wire.tensors_from_pb(head_service_pb2.PredictRequest.FromString(question).features, reader)
        if arena is not None:
            arena.release([region.generation])
    return (time.process_time() - started_at) * 1000 / rounds


def way_rows() -> list[str]:
    """One row for each size: inline, shared."""
    rows = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        arena, reader = Arena(Path(folder), limit_mib=16), ArenaReader(Path(folder))
        for kib in SIZES:
            array = np.ones((1, kib * 256), np.float32)  # (1, numbers)
            inline, shared = (
                [way_ms(array, way, reader, rounds=max(20, 4000 // kib)) for _ in range(5)] for way in (None, arena)
            )
            rows.append(f"| {kib} | {statistics.median(inline):.3f} | {statistics.median(shared):.3f} |")
        arena.close()
    return rows


def report(points: dict[tuple[str, int, str], list[Point]], seconds: float, repeats: int) -> str:
    """Markdown."""
    lines = [
        "# The way of the features",
        "",
        f"- machine: {describe()}",
        f"- command: `python -m benchmarks.features`, {datetime.now(UTC):%Y-%m-%d}; {seconds:g} s a point, "
        f"{repeats} repeats, the forms in turn; median and (lowest to highest)",
        "- `imagenet` takes `pooled` of 224x224, 5 KB; `maps` takes c2, c3, c4, c5 of 512x512, 3.05 MB, and only "
        "averages them",
        "- sockets: feature bytes through sockets for a call; JPEG 500x375 in, client and server share the cores",
        "- CPU: client and all processes of the server, ms a call; last column: the CPU of all in one over that of "
        "the form: what it can answer on the same cores once they are full, whatever else the machine does",
        "",
        "| head | callers | form | sockets | calls/s | of all in one | p50 ms | CPU ms | of all in one |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (head, callers, form), found in points.items():
        base = points[head, callers, ALL_IN_ONE]
        pairs = list(zip(found, base, strict=True))
        rates = [100 * point.per_second / other.per_second for point, other in pairs]
        costs = [100 * other.cpu_ms / point.cpu_ms for point, other in pairs]
        cells = [
            spread([point.per_second for point in found]),
            "" if form == ALL_IN_ONE else spread(rates, " %", digits=0),
            spread([point.p50_ms for point in found]),
            spread([point.cpu_ms for point in found]),
            "" if form == ALL_IN_ONE else spread(costs, " %", digits=0),
        ]
        lines.append(f"| {head} | {callers} | {form} | {sockets(head, form)} | {' | '.join(cells)} |")
    lines += [
        "",
        f"One tensor from backbone to gateway to head, CPU without the sockets; below {MIN_BYTES // 1024} KiB it is "
        "sent, from there on shared:",
        "",
        "| KiB | inline, ms | shared, ms |",
        "| --- | --- | --- |",
        *way_rows(),
    ]
    return "\n".join(lines) + "\n"


def sockets(head: str, form: str) -> str:
    """Feature bytes: to the gateway and on to the head."""
    if form == ALL_IN_ONE:
        return "0"
    if head == "imagenet":
        return "10 KB"
    return "6.1 MB" if form == INLINE else "0"


def spread(values: list[float], unit: str = "", digits: int = 1) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one point")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results/features.md")
    options = parser.parse_args()
    text = report(run(options.seconds, options.repeats), options.seconds, options.repeats)
    options.output.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
