"""How cost grows with the number of heads: loaded, and asked at once."""

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.launch import wait_serving
from benchmarks.load.process import load_process
from benchmarks.output import Output, tell
from benchmarks.plotting import panels, save
from benchmarks.repository import add_linear_head, linked
from benchmarks.servers import ALL_IN_ONE, SPLIT, Models, ServerName, running
from benchmarks.statistics import Line, fit_line, spread, table
from benchmarks.usage import memory_mib
from trunkline.loadtest.histograms import merged, percentile_ms

LOADED = (1, 4, 16, 64, 256)
ASKED = (1, 4, 16, 64)
CLASSES = 100


def run(output: Output, *, seconds: float = 2.0, repeats: int = 3, split: bool = False) -> None:
    """Writes growth.md, .json and .png."""
    form = SPLIT if split else ALL_IN_ONE
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        repository = linked(Path(folder) / "models")
        names = [f"head-{number}" for number in range(max(LOADED))]
        for seed, name in enumerate(names):
            add_linear_head(repository, name, CLASSES, seed)
        made = Models(repository, Path(folder))
        loaded = [_load(form, made, names[:count]) for _ in range(repeats) for count in LOADED]
        asked = _ask(form, made, names[: max(ASKED)], seconds, repeats)
    notes = [
        f"form: {form}; linear heads on `pooled`, {CLASSES} classes each, one preprocessing spec; {repeats} repeats",
        "loaded: exec to SERVING, and resident memory then; asked: one caller, Analyze with so many heads on a JPEG",
        "lines are least squares over all repeats",
    ]
    output.write(
        "growth", "How cost grows with heads", notes, _body(loaded, asked), {"loaded": loaded, "asked": asked}
    )
    _plot(loaded, asked, output)


def _load(form: ServerName, made: Models, names: Sequence[str]) -> dict[str, Any]:
    with running(form, made, names) as started:
        ready_s = wait_serving(started.address, started.process)
        found = {"heads": len(names), "ready_s": ready_s, "mib": memory_mib(started.process)}
    tell(f"{len(names)} heads loaded: {found}")
    return found


def _ask(form: ServerName, made: Models, names: Sequence[str], seconds: float, repeats: int) -> list[dict[str, Any]]:
    done = []
    with running(form, made, names) as started:
        targets = [started.target(names[:count]) for count in ASKED]
        with load_process(targets, pictures=20) as load:
            load.order("labels")
            for repeat in range(repeats):
                for place in random.Random(repeat).sample(range(len(ASKED)), len(ASKED)):
                    point = load.order("closed", target=place, callers=1, seconds=seconds)
                    p50_ms = percentile_ms(merged([point["histogram"]]), 50)
                    done.append({"heads": ASKED[place], "p50_ms": p50_ms, "codes": point["codes"]})
                    tell(f"{ASKED[place]} heads asked: p50 {p50_ms:.2f} ms, {point['codes']}")
    return done


def _body(loaded: Sequence[dict[str, Any]], asked: Sequence[dict[str, Any]]) -> list[str]:
    memory, ready, ms = _line(loaded, "mib"), _line(loaded, "ready_s"), _line(asked, "p50_ms")
    return [
        *table(("heads loaded", "ready after, s", "MiB"),
               [[str(n), _spread(loaded, n, "ready_s", 2), _spread(loaded, n, "mib", 0)] for n in LOADED]),
        "",
        f"A head more: {memory.slope:.2f} MiB (R² {memory.r2:.4f}) and {1000 * ready.slope:.1f} ms of start "
        f"(R² {ready.r2:.4f}); its weights are {4 * 1280 * CLASSES / 2**20:.2f} MiB.",
        "",
        *table(("heads asked at once", "p50 ms"), [[str(n), _spread(asked, n, "p50_ms", 2)] for n in ASKED]),
        "",
        f"A head more: {ms.slope:.3f} ms (R² {ms.r2:.4f}), on {ms.start:.1f} ms for the picture and the pass.",
    ]  # fmt: skip


def _line(points: Sequence[dict[str, Any]], key: str) -> Line:
    return fit_line([point["heads"] for point in points], [point[key] for point in points])


def _spread(points: Sequence[dict[str, Any]], heads: int, key: str, digits: int) -> str:
    return spread([point[key] for point in points if point["heads"] == heads], digits)


def _plot(loaded: Sequence[dict[str, Any]], asked: Sequence[dict[str, Any]], output: Output) -> None:
    figure, axes = panels(2)
    for axis, points, key, title in (
        (axes[0], loaded, "mib", "MiB over heads loaded"),
        (axes[1], asked, "p50_ms", "ms over heads asked at once"),
    ):
        line = _line(points, key)
        most = max(point["heads"] for point in points)
        axis.plot([0, most], [line.start, line.start + most * line.slope], color="gray")
        axis.plot([point["heads"] for point in points], [point[key] for point in points], "o")
        axis.set(title=f"{title}, R² {line.r2:.3f}", ylim=(0, None))
    save(figure, output.plot("growth"))
