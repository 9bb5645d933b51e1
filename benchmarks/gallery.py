"""A large gallery: recall and time of a search, the rate at which it grows, its size on disk, its start."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import Output, tell
from benchmarks.statistics import table
from trunkline.core.galleries import SearchBy
from trunkline.core.results import Embedding
from trunkline.galleries.changes import ChangeReader
from trunkline.galleries.collection import Collection
from trunkline.galleries.database import Database
from trunkline.galleries.items import ItemStore, NewItem
from trunkline.galleries.search import search
from trunkline.galleries.snapshot import Snapshots
from trunkline.galleries.store import GalleryStore

_AT_ONCE = 128  # as the service stores images that come together
_QUERIES = 500
_PER_CLASS = 100


def run(output: Output, *, images: int = 100_000, dimension: int = 256, small: int = 20_000) -> None:
    """Writes gallery.md and .json: an exact gallery of `small` images, an approximate one of `images`."""
    found = [_measure(count, dimension) for count in (small, images)]
    columns = (
        "images",
        "index",
        "recall@10",
        "search p50, ms",
        "p99",
        "CPU, ms",
        "classes p50, ms",
        "added/s",
        "graph, s",
    )
    more = ("database, MB", "index file, MB", "memory, MB", "start, s")
    rows = [
        [
            str(each["images"]),
            each["index"],
            f"{each['recall']:.4f}",
            *(f"{each[key]:.2f}" for key in ("search_p50_ms", "search_p99_ms", "search_cpu_ms", "classes_p50_ms")),
            *(f"{each[key]:.0f}" for key in ("added_per_s", "graph_s")),
            *(f"{each[key]:.1f}" for key in ("database_mb", "file_mb", "memory_mb", "start_s")),
        ]
        for each in found
    ]
    notes = [
        f"unit vectors of {dimension} values around centres of {_PER_CLASS} images, which share 32 dimensions, "
        "as embeddings of real pictures do; queries are new ones",
        f"search: the ten nearest images of {_QUERIES} queries, one after the other, with ids and classes from the "
        "database; CPU: mean of a search; recall against all true distances",
        f"added/s: transactions of {_AT_ONCE} into SQLite, with the means of classes; graph: made by "
        "one thread, in the background; start: until a gallery on the disk can be searched",
    ]
    output.write("gallery", "Gallery", notes, table((*columns, *more), rows), found)


def _measure(count: int, dimension: int) -> dict[str, Any]:
    vectors, labels = _clustered(count, dimension)
    queries, _ = _clustered(_QUERIES, dimension, seed=1, like=count)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/galleries.db")
        snapshots, items = Snapshots(Path(folder) / "index"), ItemStore(database)
        like = Embedding("space", tuple(vectors[0].tolist()))
        number = GalleryStore(database).create("large", "head", like, None, keep_images=False).number
        took_s = _timed(lambda: _fill(items, number, vectors, labels))
        tell(f"{count}: added in {took_s:.1f} s")

        def loaded() -> Collection:
            made = Collection(GalleryStore(database).get("large"), ChangeReader(database), snapshots)
            made.load()
            return made

        collection = loaded()
        graph_s = _timed(collection.tend) if collection.untended else 0.0
        tell(f"{count}: graph in {graph_s:.1f} s, {collection.state}")
        recall, times, cpu_ms = _asked(collection, items, vectors, queries)
        classes = [
            _timed(lambda query=query: search(collection, items, query, 5, SearchBy.CLASSES, None))
            for query in queries
        ]
        exact, memory = collection.exact, collection.state.bytes
        collection.close()
        start_s = _timed(lambda: loaded().close(save=False))
        size = sum(path.stat().st_size for path in Path(folder).glob("galleries.db*"))
        file = sum(path.stat().st_size for path in (Path(folder) / "index").glob("*")) if not exact else 0
        database.close()
    return {
        "images": count,
        "dimension": dimension,
        "index": "exact" if exact else "approximate",
        "recall": recall,
        "search_p50_ms": float(np.percentile(times, 50)) * 1000,
        "search_p99_ms": float(np.percentile(times, 99)) * 1000,
        "search_cpu_ms": cpu_ms,
        "classes_p50_ms": float(np.percentile(classes, 50)) * 1000,
        "added_per_s": count / took_s,
        "graph_s": graph_s,
        "database_mb": size / 1e6,
        "file_mb": file / 1e6,
        "memory_mb": memory / 1e6,
        "start_s": start_s,
    }


def _clustered(
    count: int, dimension: int, *, seed: int = 0, like: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 (count, dimension) and their classes (count,), of the centres for `like` images."""
    fixed = np.random.default_rng(0)
    centres = fixed.normal(size=(max(1, (like or count) // _PER_CLASS), 32))
    projection = fixed.normal(size=(32, dimension)) / np.sqrt(32)
    random = np.random.default_rng(seed + 1)
    labels = random.integers(len(centres), size=count)
    inner = centres[labels] + 0.5 * random.normal(size=(count, 32))
    found = inner @ projection + 0.1 * random.normal(size=(count, dimension))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), labels


def _fill(items: ItemStore, number: int, vectors: np.ndarray, labels: np.ndarray) -> None:
    for start in range(0, len(vectors), _AT_ONCE):
        items.add(number, "space", list(_new(vectors, labels, start)))


def _new(vectors: np.ndarray, labels: np.ndarray, start: int) -> Iterator[NewItem]:
    for row in range(start, min(start + _AT_ONCE, len(vectors))):
        yield NewItem(f"image-{row:07}.jpg", f"class-{labels[row]:04}", f"{row:064x}", vectors[row])


def _asked(
    collection: Collection, items: ItemStore, vectors: np.ndarray, queries: np.ndarray
) -> tuple[float, list[float], float]:
    """Recall of ten, the seconds of each search, and the CPU milliseconds of one."""
    # Before: a BLAS leaves threads that spin for a while, beside the searches that are measured.
    truths = [np.argpartition(-(vectors @ query), 10)[:10] for query in queries]
    time.sleep(1)
    shares, times, cpu_s = [], [], 0.0
    for query, true in zip(queries, truths, strict=True):
        started_at, before_s = time.perf_counter(), time.process_time()
        found = search(collection, items, query, 10, SearchBy.IMAGES, None)
        times.append(time.perf_counter() - started_at)
        cpu_s += time.process_time() - before_s
        shares.append(len({each.id for each in found.matches} & {f"image-{row:07}.jpg" for row in true}) / 10)
    return float(np.mean(shares)), times, 1000 * cpu_s / len(queries)


def _timed(act: Any) -> float:
    started_at = time.perf_counter()
    act()
    return time.perf_counter() - started_at
