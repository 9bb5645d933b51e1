"""What changed in a gallery since a sequence number: how indexes in memory follow the database."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import and_, select

from trunkline.galleries.classes import read_sums
from trunkline.galleries.database import Database
from trunkline.galleries.schema import GalleryRow, ItemRow, VectorRow
from trunkline.galleries.store import Record, record_of
from trunkline.galleries.vectors import from_bytes

_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class Changes:
    """The next changes, in order, up to the sequence number `sequence`, and the gallery as it was then.

    added: numbers (N,) int64 with `vectors` (N, D) float32; removed: numbers. sums: count and sum of the classes that
    changed. complete: these are the last.
    """

    record: Record
    sequence: int
    added: np.ndarray
    vectors: np.ndarray
    removed: tuple[int, ...]
    sums: dict[str, tuple[int, np.ndarray]]
    complete: bool


class ChangeReader:
    """Every method is one transaction and raises ServiceUnavailableError where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, gallery: int, generation: int, after: int, classes_after: int, forgotten: int) -> Changes | None:
        """Changes of a generation; None where the gallery is gone, has another one, or was changed too often since.

        classes_after: the classes are told that changed after this number. forgotten: what the gallery had forgotten
        when who asks began to read, as nothing of that is missed.
        """
        with self._database.read() as session:
            row = session.get(GalleryRow, gallery)
            if row is None or row.name is None or row.generation != generation:
                return None
            if row.forgotten > max(after, forgotten):
                return None
            record = record_of(row)
            items = session.execute(
                select(ItemRow.number, ItemRow.sequence, VectorRow.vector)
                .outerjoin(VectorRow, and_(VectorRow.item == ItemRow.number, VectorRow.generation == generation))
                .where(ItemRow.gallery == gallery, ItemRow.sequence > after)
                .order_by(ItemRow.sequence)
                .limit(_AT_ONCE)
            ).all()
            sums = read_sums(session, gallery, generation, classes_after)
        complete = len(items) < _AT_ONCE
        last = items[-1].sequence if items else 0
        added = [(number, from_bytes(vector)) for number, _, vector in items if vector is not None]
        return Changes(
            record,
            # What was committed after the row was read may be among them.
            max(last, record.sequence) if complete else last,
            np.array([number for number, _ in added], np.int64),
            np.stack([vector for _, vector in added]) if added else np.zeros((0, row.dimension), np.float32),
            tuple(number for number, _, vector in items if vector is None),
            sums,
            complete,
        )
