"""What each head costs: its pass, its own net, its decode, and a call in both forms. `python -m benchmarks heads`."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.launch import wait_serving
from benchmarks.output import Output, tell
from benchmarks.pictures import distinct_jpegs
from benchmarks.servers import ALL_IN_ONE, SPLIT, Models, ServerName, running
from benchmarks.statistics import spread, table
from benchmarks.usage import memory_mib
from trunkline.client import AsyncClient
from trunkline.core.bundle import HeadManifest
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.heads.loading import LoadedHead, load_head
from trunkline.serving.session import OnnxSession, load_session

SIZE = (480, 360)
_CALLS = 20
_OFF = {"TRUNKLINE_SHARED_MEMORY_MIB": "0"}


@dataclass(frozen=True)
class Parts:
    """Milliseconds on one thread: bytes to pixels, the shared pass up to the features, the head's net, its decode."""

    decode_ms: float
    backbone_ms: float
    head_ms: float
    answer_ms: float


@dataclass(frozen=True)
class Served:
    """Of calls one after the other, in milliseconds, and of the processes after them, in MiB."""

    p50_ms: float
    memory_mib: float


def run(output: Output, *, models: Path, heads: list[str], repeats: int = 3) -> None:
    """Writes heads.md and .json. heads: names; all of the repository where there are none."""
    repository = Repository(models)
    names = heads or repository.names("head")
    manifests = {name: repository.head(name).manifest for name in names}
    parts = {name: [_parts(repository, manifests[name]) for _ in range(repeats)] for name in names}
    forms: dict[str, tuple[ServerName, dict[str, str]]] = {
        "all in one": (ALL_IN_ONE, {}),
        "split": (SPLIT, {}),
        "split, features inline": (SPLIT, _OFF),
    }
    served: dict[str, dict[str, list[Served]]] = {name: {form: [] for form in forms} for name in names}
    for name in names:
        for form, (server, environment) in forms.items():
            served[name][form] = _served(server, models, name, environment, repeats)
            tell(f"{name}, {form}: {served[name][form]}")
    notes = [
        f"JPEGs of {SIZE[0]}x{SIZE[1]}; {repeats} repeats: median (lowest to highest) of medians of {_CALLS}",
        "parts: one after the other on one thread, without a server",
        "call: client included, one after the other, no feature cache; alone, a pass takes all cores",
        "memory: resident, summed over the processes of a server that has this one head",
    ]
    output.write("heads", "What each head costs", notes, _tables(manifests, parts, served), _data(parts, served))


def _parts(repository: Repository, manifest: HeadManifest) -> Parts:
    backbone = load_session(repository.backbone(manifest.backbone.name, manifest.backbone.version))
    head = load_head(repository.head(manifest.name), None)
    if not isinstance(head, LoadedHead):
        raise head.error
    data = distinct_jpegs(1, seed=3, size=SIZE)[0]
    pixels, frame = preprocess(EncodedImage(data), manifest.preprocess)
    names = [name for name in manifest.features if name != IMAGE]
    features = {IMAGE: pixels} | (backbone.run({IMAGE: pixels}, names) if names else {})
    inputs = {name: features[name] for name in head.runs.inputs}
    outputs = head.runs.run(inputs)
    return Parts(
        decode_ms=_median_ms(lambda: preprocess(EncodedImage(data), manifest.preprocess)),
        backbone_ms=_median_ms(lambda: _pass(backbone, features, names)) if names else 0.0,
        head_ms=_median_ms(lambda: head.runs.run(inputs)),
        answer_ms=_median_ms(lambda: head.decoder.decode(outputs, frame, {})),
    )


def _pass(backbone: OnnxSession, features: dict, names: list[str]) -> None:
    backbone.run({IMAGE: features[IMAGE]}, names)


def _median_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(_CALLS):
        started_at = time.perf_counter()
        call()
        times.append((time.perf_counter() - started_at) * 1000)
    return statistics.median(times)


def _served(server: ServerName, models: Path, head: str, environment: dict[str, str], repeats: int) -> list[Served]:
    with running(server, Models(models, models), [head], environment) as started:
        wait_serving(started.address, started.process)
        asyncio.run(_calls(started.address, head))
        return [
            Served(asyncio.run(_calls(started.address, head)), memory_mib(started.process)) for _ in range(repeats)
        ]


async def _calls(address: str, head: str) -> float:
    """Median of the milliseconds of calls, one after the other."""
    times = []
    async with AsyncClient(address) as client:
        for data in distinct_jpegs(_CALLS, seed=5, size=SIZE):
            started_at = time.perf_counter()
            (await client.analyze(data, [head]))[head].value()
            times.append((time.perf_counter() - started_at) * 1000)
    return statistics.median(times)


def _tables(
    manifests: dict[str, HeadManifest],
    parts: dict[str, list[Parts]],
    served: dict[str, dict[str, list[Served]]],
) -> list[str]:
    fields = ("decode_ms", "backbone_ms", "head_ms", "answer_ms")
    columns = ("head", "features", "pixels", "decode, ms", "backbone, ms", "head's net, ms", "its answer, ms")
    rows = [
        [
            name,
            " ".join(manifests[name].features),
            f"{manifests[name].preprocess.width}x{manifests[name].preprocess.height}",
            *(spread([getattr(part, field) for part in parts[name]]) for field in fields),
        ]
        for name in parts
    ]
    calls = [
        [name, form, spread([each.p50_ms for each in found]), spread([each.memory_mib for each in found], 0)]
        for name, forms in served.items()
        for form, found in forms.items()
    ]
    return [*table(columns, rows), "", *table(("head", "form", "p50 of a call, ms", "MiB"), calls)]


def _data(parts: dict[str, list[Parts]], served: dict[str, dict[str, list[Served]]]) -> dict:
    return {
        "parts": {name: [asdict(part) for part in found] for name, found in parts.items()},
        "served": {
            name: {form: [asdict(each) for each in found] for form, found in forms.items()}
            for name, forms in served.items()
        },
    }
