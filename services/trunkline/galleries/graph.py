"""The approximate index: the graph (HNSW) of usearch, whose vectors are float16."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from usearch.index import Index

_CONNECTIVITY: Final = 16
_EXPANSION_ADD: Final = 128
_EXPANSIONS: Final = (64, 128, 256, 512)  # of a search: the smallest that finds enough is taken
_ENOUGH: Final = 0.98
_BLOCK: Final = 16  # vectors that are added while a search waits: some milliseconds
_QUERIES: Final = 200
# More than are wanted are taken out of the graph, and put in order by their true distances.
_SPARE: Final = 2


class Graph:
    """Vectors by number. May be used by several threads; a search waits for a few vectors at most to be added.

    recall: share of the true ten nearest that it finds, None where it was not measured; `measured_at`: how many
    vectors it had then.
    """

    def __init__(self, dimension: int) -> None:
        self._index: Any = Index(
            ndim=dimension,
            metric="ip",
            dtype="f16",
            connectivity=_CONNECTIVITY,
            expansion_add=_EXPANSION_ADD,
            expansion_search=_EXPANSIONS[0],
        )
        self._lock = threading.Lock()
        self.removed = 0
        self.recall: float | None = None
        self.measured_at = 0

    def __len__(self) -> int:
        return len(self._index)

    @property
    def dimension(self) -> int:
        return int(self._index.ndim)

    @property
    def bytes(self) -> int:
        return int(self._index.memory_usage)

    @property
    def expansion(self) -> int:
        """How many candidates a search keeps: more find more and take longer."""
        return int(self._index.expansion_search)

    @expansion.setter
    def expansion(self, value: int) -> None:
        self._index.expansion_search = value

    def add(self, numbers: np.ndarray, vectors: np.ndarray, stopped: Callable[[], bool] = lambda: False) -> None:
        """Vectors (N, D) float32 with their numbers (N,) int64; those it has already are left out."""
        for start in range(0, len(numbers), _BLOCK):
            if stopped():
                return
            some, block = numbers[start : start + _BLOCK].astype(np.uint64), vectors[start : start + _BLOCK]
            with self._lock:
                new = ~np.atleast_1d(self._index.contains(some))
                if new.any():
                    self._index.add(some[new], block[new], copy=True, threads=1)

    def remove(self, number: int) -> None:
        """Nothing happens where it is not there."""
        with self._lock:
            if number in self._index:
                self._index.remove(number)
                self.removed += 1

    def nearest(self, query: np.ndarray, count: int) -> np.ndarray:
        """Numbers (at most twice `count`,) of vectors near to a unit vector (D,), in order but for rounding."""
        with self._lock:
            if not len(self._index):
                return np.empty(0, np.int64)
            found = self._index.search(query, min(_SPARE * count, len(self._index)), threads=1)
            return np.asarray(found.keys).astype(np.int64)

    def measure(self, blocks: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]) -> None:
        """Measure the recall of ten against an exact search, and search wider where it is too low.

        blocks: all numbers (N,) and true vectors (N, D), in pieces. Queries are some of them, that do not count as
        their own neighbours.
        """
        queries, truth = _truth(blocks, len(self))
        if not len(queries):
            return
        for expansion in _EXPANSIONS:
            self.expansion = max(expansion, self.expansion)
            # Of the twenty that a search for ten takes out of the graph, the true ten come first.
            found = [set(self.nearest(query, 10).tolist()) for query in queries]
            shares = [len(near & true) / len(true) for near, true in zip(found, truth, strict=True) if true]
            self.recall, self.measured_at = float(np.mean(shares)) if shares else 1.0, len(self)
            if self.recall >= _ENOUGH:
                return

    def save(self, path: Path) -> None:
        with self._lock:
            self._index.save(str(path))

    @classmethod
    def load(cls, path: Path, dimension: int) -> "Graph":
        """Raises RuntimeError, ValueError or another error of usearch for a file that is none."""
        graph = cls(dimension)
        graph._index.load(str(path))
        if graph.dimension != dimension:
            raise ValueError(f"{path} has vectors of length {graph.dimension}, not {dimension}")
        return graph


def _truth(
    blocks: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]], total: int
) -> tuple[np.ndarray, list[set[int]]]:
    """Some stored vectors (Q, D), and the numbers of the true ten nearest of each, itself left out."""
    share = min(1.0, 1.5 * _QUERIES / max(total, 1))
    random = np.random.default_rng(total)
    names, queries = [], []
    for numbers, vectors in blocks():
        chosen = random.random(len(numbers)) < share
        names.append(numbers[chosen])
        queries.append(vectors[chosen])
    if not names or not sum(map(len, names)):
        return np.empty((0, 0), np.float32), []
    own, asked = np.concatenate(names)[:_QUERIES], np.concatenate(queries)[:_QUERIES]
    best_numbers = np.zeros((len(asked), 0), np.int64)
    best = np.zeros((len(asked), 0), np.float32)
    for numbers, vectors in blocks():
        products = asked @ vectors.T  # (Q, N)
        products[own[:, None] == numbers[None, :]] = -np.inf
        best = np.concatenate([best, products], axis=1)
        best_numbers = np.concatenate([best_numbers, np.broadcast_to(numbers, products.shape)], axis=1)
        order = np.argsort(-best, axis=1)[:, :10]
        best, best_numbers = np.take_along_axis(best, order, 1), np.take_along_axis(best_numbers, order, 1)
    return asked, [
        {int(number) for number, value in zip(row, values, strict=True) if value > -np.inf}
        for row, values in zip(best_numbers, best, strict=True)
    ]
