"""The means of classes: sums that change with their images, as in networks that classify by mean embeddings."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from trunkline.galleries.schema import ClassRow, GalleryRow


class Sums:
    """The sums of one gallery within a transaction that has locked its row."""

    def __init__(self, session: Session, row: GalleryRow, labels: Iterable[str] = ()) -> None:
        """labels: those that will change, as far as is known, since to read them together takes less time."""
        self._session = session
        self._row = row
        self._found: dict[str, tuple[ClassRow, np.ndarray]] = {}  # sums: float64 (D,)
        wanted = set(labels) - {""}
        query = select(ClassRow).where(
            ClassRow.gallery == row.number, ClassRow.generation == row.generation, ClassRow.label.in_(wanted)
        )
        for stored in session.scalars(query) if wanted else ():
            self._found[stored.label] = stored, np.frombuffer(stored.total, "<f8")
        self._absent = wanted - set(self._found)

    def change(self, label: str, vector: np.ndarray, by: int) -> None:
        """Add a vector, float32 (D,), or take it away again, by 1 or -1. An image without a class changes nothing."""
        if not label:
            return
        stored, total = self._found.get(label) or self._read(label, len(vector))
        before = stored.count
        stored.count += by
        self._found[label] = stored, total + by * vector.astype(np.float64)
        self._row.classes += (stored.count > 0) - (before > 0)

    def store(self) -> None:
        """Call it once, when all is changed."""
        for stored, total in self._found.values():
            # What rounding left of the vectors of a class that is empty again is not kept.
            stored.total = (total if stored.count else np.zeros_like(total)).astype("<f8").tobytes()
            stored.sequence = self._row.sequence

    def _read(self, label: str, dimension: int) -> tuple[ClassRow, np.ndarray]:
        key = (self._row.number, self._row.generation, label)
        with self._session.no_autoflush:
            stored = None if label in self._absent else self._session.get(ClassRow, key)
        if stored is None:
            zero = np.zeros(dimension, "<f8")
            stored = ClassRow(gallery=key[0], generation=key[1], label=label, total=zero.tobytes(), count=0)
            stored.sequence = self._row.sequence
            self._session.add(stored)
        return stored, np.frombuffer(stored.total, "<f8")


@dataclass(frozen=True)
class Means:
    """The classes of a gallery, in order of label. vectors: float32 (C, D), L2-normalised; counts: of images."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    vectors: np.ndarray

    @classmethod
    def of(cls, sums: dict[str, tuple[int, np.ndarray]], dimension: int) -> "Means":
        """From count and sum, float64 (D,), by label. A sum without a direction is that of no class."""
        made = []
        for label in sorted(sums):
            count, total = sums[label]
            length = float(np.linalg.norm(total))
            if length > 1e-9:
                made.append((label, count, (total / length).astype(np.float32)))
        vectors = np.stack([vector for _, _, vector in made]) if made else np.zeros((0, dimension), np.float32)
        return cls(tuple(label for label, _, _ in made), tuple(count for _, count, _ in made), vectors)


def read_sums(session: Session, gallery: int, generation: int, after: int) -> dict[str, tuple[int, np.ndarray]]:
    """Count and sum, float64 (D,), of the classes that changed after a sequence number."""
    query = select(ClassRow.label, ClassRow.count, ClassRow.total).where(
        ClassRow.gallery == gallery, ClassRow.generation == generation, ClassRow.sequence > after
    )
    return {label: (count, np.frombuffer(total, "<f8")) for label, count, total in session.execute(query)}
