"""Re-embedding in the database: who works on it, how far it is, and the change at its end.

New vectors are another generation beside the one that answers. A process works on a gallery for as long as it renews
its lease; another one goes on where it stopped.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from trunkline.core.errors import GalleryStateError
from trunkline.core.galleries import ReembeddingState
from trunkline.core.results import Embedding
from trunkline.database.database import clock
from trunkline.galleries.database import Database
from trunkline.galleries.schema import ClassRow, GalleryRow, ImageRow, ItemRow, VectorRow
from trunkline.galleries.store import Record, calibration_fields, named, record_of
from trunkline.galleries.vectors import from_bytes, to_bytes

_GRACE_S = 10.0  # how long the old vectors stay for processes that have not heard of the new ones
_AT_ONCE = 2000
_TRIES = 3
Sums = Mapping[str, tuple[int, np.ndarray]]  # count and sum, float64 (D,), by class
# Of what is deleted in one transaction, so that others write in between.
_SWEPT_AT_ONCE = 500
_SWEPT_BYTES = 32 * 1024 * 1024


class ClaimLostError(Exception):
    """Another process works on it, it was cancelled, or the gallery was deleted."""


@dataclass(frozen=True)
class Claim:
    """A re-embedding that this process works on. owner: its token; generation, head and space: of the new vectors."""

    gallery: int
    name: str
    owner: str
    generation: int
    head: str
    space: str
    dimension: int


class ReembeddingStore:
    """Every method is one transaction and raises ServiceUnavailableError where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, name: str, head: str, like: Embedding) -> Record:
        """Wish that a gallery is embedded anew, by `head` into the space of `like`.

        Raises NotFoundError, GalleryStateError where that cannot be, or another one runs.
        """
        with self._database.write() as session:
            row = named(session, name, lock=True)
            if row.state == ReembeddingState.RUNNING:
                if (row.new_head, row.new_space) != (head, like.space):
                    raise GalleryStateError(
                        f"gallery {name!r} is being re-embedded by head {row.new_head!r}: cancel that first",
                        gallery=name,
                    )
                return record_of(row)
            row.new_head, row.new_space, row.error = head, like.space, ""
            row.total, row.done = row.images, 0
            if like.space == row.space:  # the vectors are what they would become
                row.head, row.done, row.state = head, row.images, ReembeddingState.SUCCEEDED.value
                return record_of(row)
            _check_pictures(session, row)
            row.new_generation = max(row.generation, row.new_generation) + 1
            row.new_dimension = len(like.values)
            row.new_calibration = dict(calibration_fields(like.calibration) or {}) or None
            row.state, row.owner, row.lease_until = ReembeddingState.RUNNING.value, "", 0.0
            return record_of(row)

    def cancel(self, name: str) -> Record:
        """Stop what runs; nothing happens where nothing does. Raises NotFoundError."""
        with self._database.write() as session:
            row = named(session, name, lock=True)
            if row.state == ReembeddingState.RUNNING:
                _end(row, ReembeddingState.CANCELLED)
            return record_of(row)

    def due(self) -> bool:
        """Whether take() or sweep() may find something: a look that holds up nobody who writes."""
        running = GalleryRow.state == ReembeddingState.RUNNING.value
        query = select(GalleryRow.number).where(or_(running, GalleryRow.unswept)).limit(1)
        with self._database.read() as session:
            return session.scalar(query) is not None

    # For the process that works on it --------------------------------------------------------------------------

    def take(self, lease_s: float) -> Claim | None:
        """One that runs and that no process works on; None where there is none."""
        with self._database.write() as session:
            now = clock(session)
            waiting = (
                select(GalleryRow)
                .where(GalleryRow.state == ReembeddingState.RUNNING.value, GalleryRow.lease_until < now)
                .where(GalleryRow.name.is_not(None))
                .order_by(GalleryRow.number)
                .limit(1)
            )
            row = session.scalar(waiting.with_for_update(skip_locked=True))
            if row is None:
                return None
            row.owner, row.lease_until = secrets.token_hex(8), now + lease_s
            return Claim(
                row.number,
                row.name or "",
                row.owner,
                row.new_generation,
                row.new_head,
                row.new_space,
                row.new_dimension,
            )

    def todo(self, claim: Claim, after: int, count: int) -> list[tuple[int, bytes]]:
        """The next images without a new vector, after a number, with their pictures."""
        query = (
            select(ItemRow.number, ImageRow.data)
            .join(ImageRow, ImageRow.item == ItemRow.number)
            .where(ItemRow.gallery == claim.gallery, ItemRow.number > after, *_without(claim.generation))
            .order_by(ItemRow.number)
            .limit(count)
        )
        with self._database.read() as session:
            return [(number, data) for number, data in session.execute(query)]

    def put(self, claim: Claim, vectors: Sequence[tuple[int, np.ndarray]], lease_s: float) -> None:
        """Keep new vectors, (D,) each, of images that are still there, and renew the lease. Raises ClaimLostError."""
        with self._database.write() as session:
            row = _owned(session, claim)
            query = select(ItemRow.number).where(
                ItemRow.number.in_([number for number, _ in vectors]), *_without(claim.generation)
            )
            wanted = set(session.scalars(query))
            session.add_all(
                VectorRow(item=number, generation=claim.generation, vector=to_bytes(vector))
                for number, vector in vectors
                if number in wanted
            )
            row.done, row.total = row.done + len(wanted), row.images
            row.lease_until = clock(session) + lease_s

    def finish(self, claim: Claim) -> bool:
        """Change to the new vectors, where every image has one; returns whether it did. Raises ClaimLostError.

        The sums of the classes are made before, as others cannot write meanwhile.
        """
        for _ in range(_TRIES):
            sequence, sums = self._summed(claim)
            changed = self._change(claim, sequence, sums)
            if changed is not None:
                return changed
        return bool(self._change(claim, None, {}))  # it changes without end

    def _summed(self, claim: Claim) -> tuple[int, Sums]:
        """The sums of the new vectors, and the sequence number of the gallery then. Raises ClaimLostError."""
        with self._database.read() as session:
            row = session.get(GalleryRow, claim.gallery)
            if row is None:
                raise ClaimLostError
            return row.sequence, _sum_classes(session, claim)

    def _change(self, claim: Claim, sequence: int | None, sums: Sums) -> bool | None:
        """None where the gallery has changed since the sums were made; they are made anew for a sequence of None."""
        with self._database.write() as session:
            row = _owned(session, claim)
            if sequence is None:
                sums = _sum_classes(session, claim)
            elif row.sequence != sequence:
                return None
            left = select(ItemRow.number).where(ItemRow.gallery == row.number, *_without(claim.generation)).limit(1)
            if session.scalar(left) is not None:
                _check_pictures(session, row)
                return False
            row.sequence += 1
            session.add_all(_class_rows(row, claim.generation, sums))
            row.classes = len(sums)
            row.kept_bytes += 4 * (row.new_dimension - row.dimension) * row.images
            row.head, row.space, row.dimension = row.new_head, row.new_space, row.new_dimension
            row.calibration, row.generation = row.new_calibration, claim.generation
            row.done = row.total = row.images
            _end(row, ReembeddingState.SUCCEEDED)
            row.lease_until = clock(session) + _GRACE_S
            return True

    def fail(self, claim: Claim, error: str) -> None:
        """It cannot be done; the gallery stays as it is. Raises ClaimLostError."""
        with self._database.write() as session:
            row = _owned(session, claim)
            _end(row, ReembeddingState.FAILED)
            row.error = error

    def release(self, claim: Claim) -> None:
        """Let another process go on with it at once. Raises ClaimLostError."""
        with self._database.write() as session:
            _owned(session, claim).lease_until = 0.0

    def sweep(self) -> bool:
        """Delete some of what nobody needs any more; returns whether there is more."""
        with self._database.write() as session:
            query = (
                select(GalleryRow)
                .where(GalleryRow.unswept, GalleryRow.state != ReembeddingState.RUNNING.value)
                .where(GalleryRow.lease_until < clock(session))
                .limit(1)
            )
            row = session.scalar(query.with_for_update(skip_locked=True))
            if row is None:
                return False
            if not _sweep(session, row):
                row.unswept = False
                if row.name is None:
                    session.delete(row)
            return True


def _owned(session: Session, claim: Claim) -> GalleryRow:
    query = select(GalleryRow).where(GalleryRow.number == claim.gallery, GalleryRow.name.is_not(None))
    row = session.scalar(query.with_for_update())
    if row is None or row.owner != claim.owner or row.state != ReembeddingState.RUNNING:
        raise ClaimLostError
    return row


def _without(generation: int) -> tuple[ColumnElement[bool], ...]:
    """Conditions: images that are there, without a vector of a generation."""
    has_it = exists().where(VectorRow.item == ItemRow.number, VectorRow.generation == generation)
    return ItemRow.key.is_not(None), ~has_it


def _end(row: GalleryRow, state: ReembeddingState) -> None:
    row.state, row.owner, row.lease_until, row.unswept = state.value, "", 0.0, True


def _check_pictures(session: Session, row: GalleryRow) -> None:
    """Raises GalleryStateError where images have no picture that could be embedded."""
    if not row.keep_images:
        raise GalleryStateError(
            f"gallery {row.name!r} keeps no pictures, so it cannot be re-embedded: delete it, create it again with "
            "pictures kept, and add its images",
            gallery=row.name,
        )
    query = (
        select(func.count())
        .select_from(ItemRow)
        .outerjoin(ImageRow, ImageRow.item == ItemRow.number)
        .where(ItemRow.gallery == row.number, ItemRow.key.is_not(None), ImageRow.item.is_(None))
    )
    bare = session.scalar(query)
    if bare:
        raise GalleryStateError(
            f"{bare} images of gallery {row.name!r} were added as vectors and have no picture to embed: remove them",
            gallery=row.name,
            images=bare,
        )


def _sum_classes(session: Session, claim: Claim) -> Sums:
    query = (
        select(ItemRow.label, VectorRow.vector)
        .join(VectorRow, and_(VectorRow.item == ItemRow.number, VectorRow.generation == claim.generation))
        .where(ItemRow.gallery == claim.gallery, ItemRow.key.is_not(None), ItemRow.label != "")
    )
    sums: dict[str, tuple[int, np.ndarray]] = {}
    for label, vector in session.execute(query.execution_options(yield_per=_AT_ONCE)):
        count, total = sums.get(label, (0, np.zeros(claim.dimension)))
        sums[label] = count + 1, total + from_bytes(vector).astype(np.float64)
    return sums


def _class_rows(row: GalleryRow, generation: int, sums: Sums) -> Iterator[ClassRow]:
    for label, (count, total) in sums.items():
        yield ClassRow(
            gallery=row.number,
            generation=generation,
            label=label,
            total=total.astype("<f8").tobytes(),
            count=count,
            sequence=row.sequence,
        )


def _sweep(session: Session, row: GalleryRow) -> bool:
    """Whether something was deleted."""
    if row.name is None:
        numbers = _some_items(session, row)
        for table in (VectorRow, ImageRow):
            session.execute(delete(table).where(table.item.in_(numbers)))
        session.execute(delete(ItemRow).where(ItemRow.number.in_(numbers)))
        return bool(numbers) or _sweep_classes(session, ClassRow.gallery == row.number)
    own = select(ItemRow.number).where(ItemRow.gallery == row.number)
    stale = (
        select(VectorRow.item, VectorRow.generation)
        .where(VectorRow.item.in_(own), VectorRow.generation != row.generation)
        .limit(_AT_ONCE)
    )
    found = session.execute(stale).all()
    for generation in {generation for _, generation in found}:
        numbers = [number for number, each in found if each == generation]
        session.execute(delete(VectorRow).where(VectorRow.item.in_(numbers), VectorRow.generation == generation))
    return bool(found) or _sweep_classes(
        session, and_(ClassRow.gallery == row.number, ClassRow.generation != row.generation)
    )


def _some_items(session: Session, row: GalleryRow) -> list[int]:
    """Numbers of images of a gallery, with pictures of so many bytes."""
    size = func.coalesce(func.length(ImageRow.data), 0)
    query = (
        select(ItemRow.number, size)
        .outerjoin(ImageRow, ImageRow.item == ItemRow.number)
        .where(ItemRow.gallery == row.number)
        .limit(_SWEPT_AT_ONCE)
    )
    numbers: list[int] = []
    total = 0
    for number, count in session.execute(query):
        total += count
        if numbers and total > _SWEPT_BYTES:
            break
        numbers.append(number)
    return numbers


def _sweep_classes(session: Session, which: ColumnElement[bool]) -> bool:
    """Whether something was deleted."""
    query = select(ClassRow.gallery, ClassRow.generation, ClassRow.label).where(which).limit(_AT_ONCE)
    keys = session.execute(query).all()
    for gallery, generation in {(gallery, generation) for gallery, generation, _ in keys}:
        labels = [label for *of, label in keys if tuple(of) == (gallery, generation)]
        session.execute(
            delete(ClassRow).where(
                ClassRow.gallery == gallery, ClassRow.generation == generation, ClassRow.label.in_(labels)
            )
        )
    return bool(keys)
