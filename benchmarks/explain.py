"""What explanations are worth and what they cost: `python -m benchmarks explain --data DIR`.

Worth: deletion and insertion (Petsiuk et al., RISE, 2018, section 4.3) and the pointing game (Zhang et al., Top-down
Neural Attention by Excitation Backprop, 2016) beside maps of random numbers. Cost: CPU of a call beside Classify.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.output import Output, tell
from benchmarks.statistics import spread, table
from trunkline.backbone.maps import PooledMaps
from trunkline.client import AsyncClient
from trunkline.core.explaining import MAP, Explanation, PixelMask
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.heads.loading import LoadedHead, load_head
from trunkline.heads.places import explained
from trunkline.serving.execution import CPU
from trunkline.testing import serve

_CELLS = 7
_STEPS = 12  # between none and all of the cells
_HEAD, _FEATURE, _DETECTOR, _PERSON = "imagenet", "pooled", "coco", "person"
Curves = dict[str, list[tuple[float, float]]]  # deletion and insertion, by method, of each picture


def run(output: Output, *, models: Path, data: Path, pictures: int, calls: int = 60, repeats: int = 5) -> None:
    """Writes explain.md and .json."""
    curves = _curves(models, _pictures(data / "pets", pictures))
    pointing = asyncio.run(_pointing(models, data / "pennfudan", pictures))
    cost = asyncio.run(_cost(models, _pictures(data / "pets", 1)[0], calls, repeats))
    worth = [
        [name, *(spread([statistics.mean(column)], 3) for column in zip(*found, strict=True)), pointing.get(name, "")]
        for name, found in curves.items()
    ]
    notes = [
        f"worth: `{_HEAD}` about {pictures} test pictures of pets, {_CELLS}x{_CELLS} cells; area under the "
        f"probability of its best class in {_STEPS} steps; deletion is better the lower it is, insertion the higher",
        f"pointing game: `{_DETECTOR}`, which never saw them, on pictures of Penn-Fudan with one person: whether the "
        "strongest place lies in the box",
        f"cost: CPU of this process, client and all; {repeats} repeats of {calls} calls in turn, no feature cache",
    ]
    columns = ("method", "deletion", "insertion", "pointing game")
    lines = [*table(columns, worth), "", *table(("call", "CPU ms a call", "of Classify"), cost)]
    output.write("explain", "Explanations: what they are worth and what they cost", notes, lines, {"curves": curves})


def _pictures(folder: Path, count: int) -> list[bytes]:
    """The first test pictures of a data set with labels.csv."""
    rows = [line.split(",") for line in (folder / "labels.csv").read_text().splitlines()]
    name, split = rows[0].index("file"), rows[0].index("split")
    files = [row[name] for row in rows[1:] if row[split] == "test"]
    chosen = files[:: max(1, len(files) // count)][:count]
    return [
        next(path for path in (folder / each, folder / "images" / each) if path.is_file()).read_bytes()
        for each in chosen
    ]


def _curves(models: Path, pictures: Sequence[bytes]) -> Curves:
    repository = Repository(models)
    head = load_head(repository.head(_HEAD))
    assert isinstance(head, LoadedHead)
    backbone = PooledMaps(repository.backbone(head.backbone.name, head.backbone.version), CPU)
    found: Curves = {"activation": [], "occlusion": [], "random": []}
    random = np.random.default_rng(0)
    for number, picture in enumerate(pictures):
        pixels, _ = preprocess(EncodedImage(picture), head.info.spec)  # (1, H, W, 3)
        judge = _Judge(backbone, head, pixels)
        maps = {"activation": judge.active(), "occlusion": judge.occluded(), "random": random.random(_CELLS**2)}
        for name, values in maps.items():
            found[name].append(judge.curves(values))
        tell(f"{number + 1} of {len(pictures)}")
    return found


class _Judge:
    """One picture, as uint8 (1, H, W, 3), and the probability of its best class where parts of it are hidden."""

    def __init__(self, backbone: PooledMaps, head: LoadedHead, pixels: np.ndarray) -> None:
        self._backbone, self._head, self._pixels = backbone, head, pixels
        self._label = int(self._probabilities(np.ones(_CELLS**2, bool)).argmax())

    def active(self) -> np.ndarray:
        """float (cells,)"""
        features = self._backbone.run(self._pixels, [_FEATURE, f"{_FEATURE}{MAP}"])
        return explained(self._head, features, "", ()).values.ravel()

    def occluded(self) -> np.ndarray:
        """float (cells,)"""
        shown = ~np.eye(_CELLS**2, dtype=bool)  # (cells, cells)
        return np.array([-self._probabilities(each)[self._label] for each in shown])

    def curves(self, values: np.ndarray) -> tuple[float, float]:
        """Areas of deletion and insertion; values: float (cells,)."""
        order = np.argsort(-values, kind="stable")
        counts = np.linspace(0, _CELLS**2, _STEPS + 1).round().astype(int)
        best = [np.isin(np.arange(_CELLS**2), order[:count]) for count in counts]
        return self._area([~each for each in best]), self._area(best)

    def _area(self, shown: Sequence[np.ndarray]) -> float:
        return float(np.mean([self._probabilities(each)[self._label] for each in shown]))

    def _probabilities(self, shown: np.ndarray) -> np.ndarray:
        """bool (cells,) -> float (classes,)"""
        mask = PixelMask(_CELLS, _CELLS, np.where(shown, 255, 0).astype(np.uint8).tobytes())
        features = self._backbone.run(mask.applied(self._pixels), [_FEATURE])
        logits = next(iter(self._head.runs.run(features).values()))[0]  # (classes,)
        exponentials = np.exp(logits - logits.max())
        return np.asarray(exponentials / exponentials.sum())


async def _pointing(models: Path, folder: Path, count: int) -> dict[str, str]:
    boxes = list(_lone_people(folder))[:count]
    hits = chance = 0.0
    async with serve(models=models, heads=(_DETECTOR,)) as host, AsyncClient(host.address) as client:
        for path, box in boxes:
            found = await client.explain(path, _DETECTOR, _PERSON, timeout_s=120)
            hits += _inside(found, box)
            width, height = found.image_size
            chance += (box[2] - box[0]) * (box[3] - box[1]) / (width * height)
    share = f"{100 * hits / len(boxes):.0f} % of {len(boxes)}"
    return {"occlusion": share, "random": f"{100 * chance / len(boxes):.0f} %"}


def _lone_people(folder: Path) -> Iterator[tuple[Path, tuple[float, float, float, float]]]:
    """Pictures with one person, and its box in pixels."""
    for file in sorted(folder.rglob("*.json")):
        document = json.loads(file.read_text())
        if not isinstance(document, dict) or "annotations" not in document:
            continue
        by_picture: dict[int, list[tuple[float, float, float, float]]] = {}
        for each in document["annotations"]:
            x, y, width, height = each["bbox"]
            by_picture.setdefault(each["image_id"], []).append((x, y, x + width, y + height))
        for image in document["images"]:
            if len(by_picture.get(image["id"], ())) == 1:
                yield folder / image["file_name"], by_picture[image["id"]][0]


def _inside(found: Explanation, box: tuple[float, float, float, float]) -> bool:
    width, height = found.image_size
    over = found.map.over(width, height)  # (H, W)
    y, x = np.unravel_index(int(over.argmax()), over.shape)
    return bool(box[0] <= x <= box[2] and box[1] <= y <= box[3])


async def _cost(models: Path, picture: bytes, calls: int, repeats: int) -> list[list[str]]:
    async with serve(models=models, heads=(_HEAD,)) as host, AsyncClient(host.address) as client:
        ways = {
            "Classify": lambda: client.classify(picture, _HEAD),
            "Explain, activation": lambda: client.explain(picture, _HEAD),
            "Explain, occlusion": lambda: client.explain(picture, _HEAD, method="occlusion"),
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, ask in ways.items():
                few = max(1, calls // 50) if "occlusion" in name else calls
                await ask()
                began = time.process_time()
                for _ in range(few):
                    await ask()
                spent[name].append(1000 * (time.process_time() - began) / few)
    plain = spent["Classify"]
    return [
        [name, spread(found), spread([one / other for one, other in zip(found, plain, strict=True)], 2)]
        for name, found in spent.items()
    ]
