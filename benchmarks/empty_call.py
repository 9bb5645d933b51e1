"""CPU of a call that computes nothing, beside hand-written servers. Command: `python -m benchmarks.empty_call`.

Server CPU only (user and system, of the server's process), over `--calls` calls of `--callers` callers that each ask
again when they were answered. Forms take turns, so that both see the same machine.
"""

import argparse
import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.launch import started
from benchmarks.machine import describe
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub

RESULT = Path(__file__).parent / "results/empty_call.md"
_PICTURE = bytes(40_000)
Call = Callable[[grpc.aio.Channel], Awaitable[Any]]


async def classify(channel: grpc.aio.Channel) -> None:
    await VisionServiceStub(channel).Classify(
        pb.ClassifyRequest(image=image_pb2.Image(data=_PICTURE), head="imagenet")
    )


async def get_head(channel: grpc.aio.Channel) -> None:
    await VisionServiceStub(channel).GetHead(pb.GetHeadRequest(head="imagenet"))


async def health(channel: grpc.aio.Channel) -> None:
    await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


async def refused(channel: grpc.aio.Channel) -> None:
    with suppress(grpc.aio.AioRpcError):
        await VisionServiceStub(channel).Classify(pb.ClassifyRequest(head="no such head"))


# Columns: Trunkline, then servers by hand.
FORMS = {"trunkline": "Trunkline", "hand": "grpc.aio", "hand-uvloop": "grpc.aio in uvloop", "hand-blocking": "grpc"}
# Rows: what is asked, and by which forms it is answered.
ROWS: tuple[tuple[str, Call, tuple[str, ...]], ...] = (
    ("Classify, 40 kB, models that cost nothing", classify, tuple(FORMS)),
    ("GetHead", get_head, tuple(FORMS)),
    ("grpc.health Check", health, ("trunkline",)),
    ("Classify, refused: no such head", refused, ("trunkline",)),
)


@contextmanager
def server(form: str) -> Iterator[tuple[str, psutil.Process]]:
    with started("benchmarks.empty_server", form) as found:
        yield found


def cpu_ms(address: str, process: psutil.Process, call: Call, calls: int, callers: int) -> float:
    """Milliseconds of CPU of the server for each call."""

    async def ask() -> float:
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.gather(*(_repeat(call, channel, calls // callers // 5) for _ in range(callers)))
            before = sum(process.cpu_times()[:2])
            await asyncio.gather(*(_repeat(call, channel, calls // callers) for _ in range(callers)))
            return float(sum(process.cpu_times()[:2]) - before)

    return asyncio.run(ask()) * 1000 / (calls // callers * callers)


async def _repeat(call: Call, channel: grpc.aio.Channel, times: int) -> None:
    for _ in range(times):
        await call(channel)


def measure(calls: int, callers: int, repeats: int) -> dict[tuple[str, str], list[float]]:
    """By row and form, one figure for each repeat."""
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        servers = {form: stack.enter_context(server(form)) for form in FORMS}
        for _ in range(repeats):
            for name, call, forms in ROWS:
                for form in forms:
                    found.setdefault((name, form), []).append(cpu_ms(*servers[form], call, calls, callers))
    return found


def table(found: dict[tuple[str, str], list[float]]) -> list[str]:
    columns = ["call", *FORMS.values(), "Trunkline / grpc.aio"]
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |"]
    for name, _, forms in ROWS:
        cells = [_spread(found[name, form]) if form in forms else "" for form in FORMS]
        lines.append(f"| {name} | {' | '.join(cells)} | {_ratio(found, name) if 'hand' in forms else ''} |")
    return lines


def _ratio(found: dict[tuple[str, str], list[float]], name: str) -> str:
    return _spread([ours / other for ours, other in zip(found[name, "trunkline"], found[name, "hand"], strict=True)])


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000, help="calls of one figure")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    lines = [
        "# CPU of an empty call",
        "",
        f"- machine: {describe()}",
        f"- command: `python -m benchmarks.empty_call`, {datetime.now(UTC):%Y-%m-%d}; {options.calls} calls of "
        f"{options.callers} callers a figure, {options.repeats} repeats in turn",
        "- figures: median and (lowest to highest); user and system time of the server's process for each call",
        "- CPU ms; beside Trunkline servers by hand, no errors mapped, no limits and no versions: grpc.aio with one "
        "hop to a thread pool, in asyncio's own loop and in uvloop, and gRPC's blocking server, whose threads answer",
        "",
        *table(measure(options.calls, options.callers, options.repeats)),
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
