"""Four tasks about one JPEG with every head at its best, and with fewer passes: `python -m benchmarks passes`."""

import asyncio
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.launch import wait_serving
from benchmarks.output import Output, tell
from benchmarks.pictures import distinct_jpegs
from benchmarks.servers import OURS, Models, ServerName, running
from benchmarks.statistics import spread, table
from benchmarks.usage import cpu_seconds
from trunkline.client import AsyncClient
from trunkline.core.repository import Repository

TASKS = ("imagenet", "pets", "camvid", "pennfudan"), ("imagenet", "pets", "camvid", "coco")
SIZE = (480, 360)
_CALLERS, _PICTURES = 4, 40
_WARM_S = 4.0  # until the planner has measured what it goes by


@dataclass(frozen=True)
class Measured:
    """Of calls of several callers. cpu_ms: of all processes of the server, a call."""

    per_second: float
    cpu_ms: float
    passes: float


def run(output: Output, *, models: Path, may_lose: float, seconds: float = 6.0, repeats: int = 5) -> None:
    """Writes passes.md and .json."""
    found: dict[str, dict[str, list[Measured]]] = {}
    lost: dict[str, dict[str, float]] = {}
    for form in OURS:
        for heads in TASKS:
            name = f"{form}: {', '.join(heads)}"
            found[name], lost[name] = _measure(form, models, heads, may_lose, seconds, repeats)
    write(output, found, next(iter(lost.values())), f"{repeats} repeats of {seconds:g} s")


def write(output: Output, found: dict[str, dict[str, list[Measured]]], lost: dict[str, float], times: str) -> None:
    """lost: points by head."""
    rows = [
        [
            name,
            how,
            spread([each.passes for each in measured], 0),
            spread([each.per_second for each in measured]),
            spread([each.cpu_ms for each in measured]),
            spread([one.cpu_ms / other.cpu_ms for one, other in zip(measured, by_how["best"], strict=True)], 2),
        ]
        for name, by_how in found.items()
        for how, measured in by_how.items()
    ]
    notes = [
        f"JPEGs of {SIZE[0]}x{SIZE[1]}; closed loop, {_CALLERS} callers, client on the same cores, no feature cache; "
        f"{times}, best and less in drawn order on one server",
        "points: " + ", ".join(f"{head} loses {value:.1f}" for head, value in lost.items() if value),
        "CPU: of all processes of the server; where other work shares the cores, it tells more than answers/s",
    ]
    columns = ("tasks", "heads", "passes", "answers/s", "CPU ms a call", "CPU of best beside it")
    data = {
        name: {how: [asdict(each) for each in got] for how, got in by_how.items()} for name, by_how in found.items()
    }
    output.write("passes", "Four tasks about one image, with fewer passes", notes, table(columns, rows), data)


def _measure(
    form: ServerName, models: Path, heads: tuple[str, ...], may_lose: float, seconds: float, repeats: int
) -> tuple[dict[str, list[Measured]], dict[str, float]]:
    """By how heads may be answered; and what each loses where it may."""
    ways: dict[str, float | None] = {"best": None, f"may lose {may_lose:.1f}": may_lose}
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    with running(form, Models(models, models), heads) as started:
        wait_serving(started.address, started.process)
        for points in ways.values():
            asyncio.run(_load(started.address, started.process, heads, points, _WARM_S))
        for repeat in range(repeats):
            order = list(ways)
            random.Random(repeat).shuffle(order)
            for name in order:
                measured = asyncio.run(_load(started.address, started.process, heads, ways[name], seconds))
                found[name].append(measured)
                tell(f"{form}, {', '.join(heads)}, {name}: {measured}")
        return found, asyncio.run(_lost(started.address, heads, may_lose))


async def _load(
    address: str, process: psutil.Process, heads: tuple[str, ...], points: float | None, seconds: float
) -> Measured:
    pictures = distinct_jpegs(_PICTURES, seed=7, size=SIZE)
    calls = passes = 0
    async with AsyncClient(address) as client:
        before, began_at = cpu_seconds(process), time.monotonic()

        async def ask(place: int) -> None:
            nonlocal calls, passes
            while time.monotonic() < began_at + seconds:
                place += _CALLERS
                answer = await client.analyze(pictures[place % _PICTURES], heads, max_points_lost=points)
                for outcome in answer.outcomes:
                    outcome.value()
                calls, passes = calls + 1, passes + answer.backbone_passes

        await asyncio.gather(*map(ask, range(_CALLERS)))
        took_s = time.monotonic() - began_at
        return Measured(calls / took_s, 1000 * (cpu_seconds(process) - before) / calls, passes / calls)


async def _lost(address: str, heads: tuple[str, ...], points: float) -> dict[str, float]:
    async with AsyncClient(address) as client:
        answer = await client.analyze(distinct_jpegs(1, seed=7, size=SIZE)[0], heads, max_points_lost=points)
    return {each.head: each.points_lost for made in answer.passes for each in made.heads}


def may_lose_all(models: Path) -> float:
    """Points that let every head of the four tasks use each spec that it knows."""
    manifests = [Repository(models).head(name).manifest for heads in TASKS for name in heads]
    lost = [variant.points_lost(each.metrics) for each in manifests for variant in each.variants]
    return max(lost, default=0.0)
