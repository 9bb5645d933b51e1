"""Four tasks of different kinds on one JPEG: Analyze against a model of its own for each.

Takes a head of each of segmentation, detection, classification and similarity as they arrive in models/; until then
heads of the kinds that exist fill the four places.
"""

import random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bare import Bare, SharedLoop, rate
from benchmarks.full_models import full_model
from benchmarks.load.process import load_process
from benchmarks.output import Output, tell
from benchmarks.pictures import items_for
from benchmarks.repository import IMAGENET, MODELS
from benchmarks.servers import OURS, Models, running
from benchmarks.statistics import spread, table
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import Pixels, preprocess
from trunkline.core.repository import Repository
from trunkline.heads.discovery import head_class
from trunkline.serving.session import OnnxSession

TASKS = ("segmentation", "detection", "classification", "similarity")
FOR_PHOTOGRAPHS = (IMAGENET, "pennfudan", "pets")
PLACES = 4


class SeparateModels:
    """For each head a whole model: its own decode, its own pass as far as it needs one, the same answer."""

    def __init__(self, models: Path, heads: list[str]) -> None:
        repository = Repository(models)
        bundles = [repository.head(name) for name in heads]
        self._models = [
            (each.manifest.preprocess, _whole(repository, name), head_class(each.manifest.task)(each))
            for name, each in zip(heads, bundles, strict=True)
        ]

    def answer(self, item: bytes) -> None:
        for spec, run, head in self._models:
            pixels, frame = preprocess(EncodedImage(item), spec)  # (1, H, W, C)
            head.decode(run(pixels), frame, {})


def _whole(repository: Repository, name: str) -> Callable[[Pixels], Mapping[str, np.ndarray]]:
    """Pixels to the outputs of a head: one graph, or two in a row where their opsets do not let them be joined."""
    bundle = repository.head(name)
    backbone = repository.backbone(bundle.manifest.backbone.name, bundle.manifest.backbone.version)
    try:
        whole = OnnxSession(full_model(repository, name), name)
    except ValueError:
        first, second = OnnxSession(backbone.read_model(), "backbone"), OnnxSession(bundle.read_model(), name)
        return lambda pixels: second.run(first.run({IMAGE: pixels}, list(second.inputs)))
    return lambda pixels: whole.run({IMAGE: pixels})


def choose_heads(repository: Repository) -> list[str]:
    """One head of each of the four tasks, for photographs where there is one; then heads that are there."""
    by_task: dict[str, list[str]] = {}
    for name in repository.names("head"):
        by_task.setdefault(repository.head(name).manifest.task, []).append(name)
    for names in by_task.values():
        names.sort(key=lambda name: (name not in FOR_PHOTOGRAPHS, name))
    chosen = [by_task[task][0] for task in TASKS if task in by_task]
    others = [name for names in by_task.values() for name in names if name not in chosen]
    return [*chosen, *others][:PLACES]


def run(output: Output, *, seconds: float = 4.0, repeats: int = 3) -> None:
    """Writes mixed.md and .json."""
    repository = Repository(MODELS)
    heads = choose_heads(repository)
    specs = {repository.head(name).manifest.preprocess.fingerprint for name in heads}
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        found = _measure(heads, Models(MODELS, Path(folder)), seconds, repeats)
    separate = "bare, a whole model each"
    rows = [
        [name, spread(rates), spread([rate / base for rate, base in zip(rates, found[separate], strict=True)], 2)]
        for name, rates in found.items()
    ]
    tasks = ", ".join(f"{name} ({repository.head(name).manifest.task})" for name in heads)
    missing = [task for task in TASKS if all(repository.head(name).manifest.task != task for name in heads)]
    notes = [
        f"heads: {tasks}; they have {len(specs)} preprocessing specs, so at most {len(specs)} passes",
        *([f"no head yet for: {', '.join(missing)}; their places are filled with others"] if missing else []),
        f"JPEG 500x375; closed loop, 8 callers, {seconds:g} s, {repeats} repeats in drawn order; complete answers",
        "a whole model each: own decode, own pass as far as the head needs one, same preprocessing and answers",
    ]
    columns = ("what", "answers/s", "times the whole models beside it")
    output.write("mixed", "Tasks of different kinds on one picture", notes, table(columns, rows), found)


def _measure(heads: list[str], made: Models, seconds: float, repeats: int) -> dict[str, list[float]]:
    loops: dict[str, Bare] = {
        "bare, a whole model each": SeparateModels(MODELS, heads),
        "bare, shared passes": SharedLoop(MODELS, heads),
    }
    found: dict[str, list[float]] = {name: [] for name in loops}
    items = items_for("jpeg", 60, seed=2)
    for repeat in range(repeats):
        plan: list[Any] = [*loops, *OURS]
        random.Random(repeat).shuffle(plan)
        for name in plan:
            per_second = (
                rate(loops[name].answer, items, seconds).per_second
                if name in loops
                else _served(name, made, heads, seconds)
            )
            key = name if name in loops else f"{name}, Analyze"
            found.setdefault(key, []).append(per_second)
            tell(f"{repeat + 1}: {key}: {per_second:.1f}/s")
    return found


def _served(form: Any, made: Models, heads: list[str], seconds: float) -> float:
    with running(form, made, heads) as started, load_process([started.target()], pictures=60) as load:
        answer = load.order("labels")
        if "absent" in answer:
            raise RuntimeError(answer["absent"])
        done = load.order("closed", callers=8, seconds=seconds)
    return float(done["ok"] / done["seconds"])
