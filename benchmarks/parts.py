"""What parts of serving are worth: the same load with each of them and without it, servers in turn.

`python -m benchmarks.parts NAME` serves without the part of that name, "" for all parts, until its input ends.
"""

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from benchmarks.launch import started
from benchmarks.output import Output, tell
from benchmarks.repository import FOUR_HEADS, benchmark_repository
from benchmarks.statistics import spread, table
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import Client
from trunkline.gateway.remote import RemoteHeads
from trunkline.gateway.throttle import Throttle
from trunkline.heads.engine import HeadEngine
from trunkline.testing import serve, serve_split

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "tests/samples/coffee.jpg"
_OVERLOAD_CALLERS, _DEADLINE_S, _PAUSE_S = 32, 0.12, 0.02
Measure = Callable[[str, psutil.Process, float], float]


def _no_quick_heads() -> None:
    HeadEngine.quick = lambda self, head, params: None  # type: ignore[method-assign]


def _no_together() -> None:
    RemoteHeads.is_cheaper_together = lambda self, question: False  # type: ignore[method-assign]


def _no_throttle() -> None:
    Throttle.refused = lambda self, ticket, timeout_s, error: None  # type: ignore[method-assign]


def _narrow() -> None:
    """By its setting, see `_server`."""


def cpu_ms_of_four_heads(address: str, process: psutil.Process, seconds: float) -> float:
    """Milliseconds of CPU for each Analyze of four heads, of two callers."""
    ends_at, calls = time.monotonic() + seconds, [0, 0]
    before = sum(process.cpu_times()[:2])

    def ask(place: int) -> None:
        with Client(address) as client:
            while time.monotonic() < ends_at:
                client.analyze(PHOTO, FOUR_HEADS)
                calls[place] += 1

    _in_threads([lambda place=place: ask(place) for place in range(2)])
    return 1000 * (sum(process.cpu_times()[:2]) - before) / max(1, sum(calls))


def ms_of_one_caller(address: str, process: psutil.Process, seconds: float) -> float:
    """Median time of a Classify of one caller, milliseconds: for a machine that does nothing else."""
    took = []
    with Client(address) as client:
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            began_at = time.perf_counter()
            client.classify(PHOTO, head="imagenet")
            took.append(1000 * (time.perf_counter() - began_at))
    return statistics.median(took)


def cpu_ms_overloaded(address: str, process: psutil.Process, seconds: float) -> float:
    """Milliseconds of CPU for each answer, where about half of all calls are refused as they cannot be in time."""
    request = pb.ClassifyRequest(image=image_pb2.Image(data=PHOTO.read_bytes()), head="imagenet")
    before, answered = sum(process.cpu_times()[:2]), 0

    async def ask(stub: VisionServiceStub, ends_at: float) -> None:
        nonlocal answered
        while time.monotonic() < ends_at:
            try:
                await stub.Classify(request, timeout=_DEADLINE_S)
                answered += 1
            except grpc.aio.AioRpcError:
                await asyncio.sleep(_PAUSE_S)

    async def all_of_them() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            stub, ends_at = VisionServiceStub(channel), time.monotonic() + seconds
            await asyncio.gather(*(ask(stub, ends_at) for _ in range(_OVERLOAD_CALLERS)))

    asyncio.run(all_of_them())
    return 1000 * (sum(process.cpu_times()[:2]) - before) / max(1, answered)


@dataclass(frozen=True)
class Part:
    """`off` switches it off in the process of a server."""

    form: str
    off: Callable[[], None]
    measure: Measure
    figure: str


PARTS = {
    "quick heads": Part("all in one", _no_quick_heads, cpu_ms_of_four_heads, "CPU ms of Analyze, four heads"),
    "together": Part("split", _no_together, cpu_ms_of_four_heads, "CPU ms of Analyze, four heads"),
    "all cores": Part("all in one", _narrow, ms_of_one_caller, "ms of Classify, one caller"),
    "throttle": Part("split", _no_throttle, cpu_ms_overloaded, "CPU ms of an answer, overloaded"),
}


def run(output: Output, *, seconds: float = 4.0, repeats: int = 5) -> None:
    """Writes parts.md and parts.json."""
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        repository = benchmark_repository(Path(folder) / "models")
        for name, part in PARTS.items():
            with _server(repository, part.form, "") as with_it, _server(repository, part.form, name) as less:
                for address, process in (with_it, less):
                    cpu_ms_of_four_heads(address, process, 1.0)
                found[name] = [
                    (part.measure(*with_it, seconds), part.measure(*less, seconds)) for _ in range(repeats)
                ]
            tell(f"{name}: {found[name]}")
    rows = [
        [
            name,
            PARTS[name].form,
            PARTS[name].figure,
            spread([one for one, _ in pairs], 2),
            spread([other for _, other in pairs], 2),
            spread([one / other for one, other in pairs], 3),
        ]
        for name, pairs in found.items()
    ]
    notes = [
        f"the same load with a part and without, in turn; {repeats} repeats of {seconds:g} s; split in one process"
    ]
    heads = ("part", "form", "figure", "with it", "without", "with / without")
    output.write("parts", "What parts of serving are worth", notes, table(heads, rows), found)


def _in_threads(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def _server(repository: Path, form: str, off: str) -> Iterator[tuple[str, psutil.Process]]:
    wide = "1" if off == "all cores" else "0"
    with started("benchmarks.parts", form, off, str(repository), wide) as found:
        yield found


async def main(form: str, off: str, repository: str, wide: str) -> None:
    if off:
        PARTS[off].off()
    make = serve_split if form == "split" else serve
    async with make(models=Path(repository), wide_threads=int(wide), heads=FOUR_HEADS) as host:
        address = host.address
        await asyncio.to_thread(_wait, address)
        print(address, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def _wait(address: str) -> None:
    with Client(address) as client:
        client.wait_ready(timeout_s=60)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
