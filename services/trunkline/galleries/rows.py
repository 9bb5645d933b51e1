"""The exact index: all vectors side by side, each compared with the query."""

import threading

import numpy as np

_BLOCK = 8192  # rows of one product, so that a search over many takes little memory


class Rows:
    """Vectors by number, in order of their numbers. Any number of threads may search while it changes.

    Who changes it holds the lock, who searches takes what is there and goes on without: rows are added behind what a
    search looks at, and arrays that grow or shrink are new ones.
    """

    def __init__(self, dimension: int, expected: int = 0) -> None:
        """expected: rows that will come, so that it need not grow for them."""
        room = max(64, expected)
        self._vectors = np.empty((room, dimension), np.float32)
        self._numbers = np.empty(room, np.int64)
        self._alive = np.zeros(room, np.bool_)
        self._count = 0
        self._removed = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count - self._removed

    @property
    def bytes(self) -> int:
        return self._vectors.nbytes + self._numbers.nbytes + self._alive.nbytes

    def add(self, numbers: np.ndarray, vectors: np.ndarray) -> None:
        """Rows with growing numbers (N,) int64 and vectors (N, D) float32; those it has already are left out."""
        with self._lock:
            new = numbers > (self._numbers[self._count - 1] if self._count else 0)
            numbers, vectors = numbers[new], vectors[new]
            end = self._count + len(numbers)
            if end > len(self._numbers):
                self._grow(max(end, len(self._numbers) * 5 // 4))
            self._vectors[self._count : end] = vectors
            self._numbers[self._count : end] = numbers
            self._alive[self._count : end] = True
            self._count = end

    def remove(self, number: int) -> None:
        """Nothing happens where it is not there."""
        with self._lock:
            row = int(np.searchsorted(self._numbers[: self._count], number))
            if row < self._count and self._numbers[row] == number and self._alive[row]:
                self._alive[row] = False
                self._removed += 1
                if self._removed > 1024 and self._removed > len(self):
                    self._compact()

    def nearest(self, query: np.ndarray, count: int) -> np.ndarray:
        """Numbers (at most `count`,) of the rows nearest to a unit vector (D,), best first."""
        numbers, vectors, alive = self.snapshot()
        if not len(numbers):
            return numbers.copy()
        starts = range(0, len(vectors), _BLOCK)
        products = np.concatenate([_products(vectors[each : each + _BLOCK], query) for each in starts])  # (N,)
        products[~alive] = -np.inf
        count = min(count, int(alive.sum()))
        best = np.argpartition(-products, count - 1)[:count] if count else np.empty(0, np.int64)
        return numbers[best[np.argsort(-products[best], kind="stable")]]

    def snapshot(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers (N,), vectors (N, D) and which of them are there (N,) bool; views that later rows do not change."""
        with self._lock:
            count = self._count
            return self._numbers[:count], self._vectors[:count], self._alive[:count]

    def _grow(self, size: int) -> None:
        for name in ("_vectors", "_numbers", "_alive"):
            old = getattr(self, name)
            new = np.zeros((size, *old.shape[1:]), old.dtype)
            new[: self._count] = old[: self._count]
            setattr(self, name, new)

    def _compact(self) -> None:
        alive = self._alive[: self._count]
        self._numbers = self._numbers[: self._count][alive]
        self._vectors = self._vectors[: self._count][alive]
        self._alive = alive[alive]
        self._count, self._removed = len(self._numbers), 0


def _products(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Of vectors (N, D) and one (D,): (N,), by this thread alone: a BLAS wakes others, which then spin."""
    return np.asarray(np.einsum("nd,d->n", vectors, query))
