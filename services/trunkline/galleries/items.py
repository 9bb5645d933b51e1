"""Images of galleries: they come and go whole, in one transaction with the means of their classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import case, delete, func, select
from sqlalchemy.orm import Session

from trunkline.core.errors import QuotaError, SpaceMismatchError
from trunkline.core.files import MIB
from trunkline.core.galleries import AddStatus
from trunkline.galleries.classes import Sums
from trunkline.galleries.database import Database
from trunkline.galleries.limits import (
    ROW_BYTES,
    Limits,
    memory_of,
    over_share,
    too_many_images,
    too_much_kept,
    too_much_memory,
)
from trunkline.galleries.schema import GalleryRow, ImageRow, ItemRow, VectorRow
from trunkline.galleries.store import locked
from trunkline.galleries.vectors import from_bytes, to_bytes

LONGEST_KEY = 255
_REMOVED_AT_ONCE = 50  # images, each with a picture that may take thousands of pages
_REMEMBERED = 10_000  # changes for which an index need not be loaded anew


@dataclass(frozen=True, eq=False)
class NewItem:
    """An image to add. digest: SHA-256 of its content, in hex; vector: float32 (D,), L2-normalised.

    picture: its bytes, where they are kept.
    """

    key: str
    label: str
    digest: str
    vector: np.ndarray
    picture: bytes | None = None


@dataclass(frozen=True, eq=False)
class Hit:
    """An image as a search needs it. vector: float32 (D,)."""

    key: str
    label: str
    vector: np.ndarray


def is_key(text: str) -> bool:
    """Whether an image can have this id, or this class."""
    return len(text) <= LONGEST_KEY and text.isprintable()


class ItemStore:
    """Every method raises ServiceUnavailableError where the database does not answer."""

    def __init__(self, database: Database, limits: Limits | None = None) -> None:
        self._database = database
        self._limits = limits or Limits()

    def has(self, gallery: int, key: str, digest: str, label: str) -> bool:
        """Whether this very image is there."""
        query = select(ItemRow.number).where(
            ItemRow.gallery == gallery, ItemRow.key == key, ItemRow.digest == digest, ItemRow.label == label
        )
        with self._database.read() as session:
            return session.scalar(query) is not None

    def add(self, gallery: int, space: str, items: Sequence[NewItem]) -> list[AddStatus | QuotaError]:
        """In order and in one transaction; vectors are of `space`. Those for which there is no room are left out.

        Raises NotFoundError where the gallery is gone, SpaceMismatchError where it has another space.
        """
        with self._database.write() as session:
            row = locked(session, gallery)
            if row.space != space:
                raise SpaceMismatchError.between(row.space, space)
            return _Addition(session, row, items, self._limits).done()

    def remove(self, gallery: int, keys: Iterable[str]) -> tuple[int, list[str]]:
        """How many were removed, and the keys of which there was none. Raises NotFoundError as above.

        Some in each transaction, so that others can write in between.
        """
        missing = []
        keys = list(dict.fromkeys(keys))
        for start in range(0, len(keys), _REMOVED_AT_ONCE):
            with self._database.write() as session:
                missing += _remove(session, locked(session, gallery), keys[start : start + _REMOVED_AT_ONCE])
        return len(keys) - len(missing), missing

    def hits(self, gallery: int, generation: int, numbers: Sequence[int]) -> Mapping[int, Hit]:
        """By number, those that are still there."""
        # The numbers alone find the rows. With more conditions SQLite took the index of (gallery, key) and read the
        # whole gallery, 13 ms of 100,000 images.
        query = (
            select(ItemRow.number, ItemRow.gallery, ItemRow.key, ItemRow.label, VectorRow.vector)
            .join(VectorRow, VectorRow.item == ItemRow.number)
            .where(ItemRow.number.in_(numbers), VectorRow.generation == generation)
        )
        with self._database.read() as session:
            rows = session.execute(query).all()
        return {
            number: Hit(key, label, from_bytes(vector))
            for number, owner, key, label, vector in rows
            if owner == gallery and key is not None
        }


class _Addition:
    """Images that come into a locked gallery: in as few statements as can be, as each of them takes its time."""

    def __init__(self, session: Session, row: GalleryRow, items: Sequence[NewItem], limits: Limits) -> None:
        self._session = session
        self._row = row
        self._limits = limits
        self._others_bytes = int(session.scalar(select(func.sum(GalleryRow.kept_bytes))) or 0) - row.kept_bytes
        self._quota = limits.quota_of(row.identity)
        self._own_images = self._own_bytes = 0  # in the other galleries of who made this one
        if self._quota is not None:
            beside = (GalleryRow.identity == row.identity) & (GalleryRow.number != row.number)
            images = case((GalleryRow.name.is_not(None), GalleryRow.images), else_=0)
            # What was deleted and is not swept yet still takes disk space.
            sums = select(func.sum(images), func.sum(GalleryRow.kept_bytes)).where(beside)
            self._own_images, self._own_bytes = (int(each or 0) for each in session.execute(sums).one())
        self._items = items
        self._sums = Sums(session, row, {item.label for item in items})
        self._waiting: list[tuple[ItemRow, NewItem]] = []
        query = select(ItemRow).where(ItemRow.gallery == row.number, ItemRow.key.in_([item.key for item in items]))
        self._known = {each.key: each for each in session.scalars(query)}

    def done(self) -> list[AddStatus | QuotaError]:
        found = [self._add(item) for item in self._items]
        self._write()
        self._sums.store()
        return found

    def _add(self, item: NewItem) -> AddStatus | QuotaError:
        old = self._known.get(item.key)
        if old is not None and (old.digest, old.label) == (item.digest, item.label):
            return AddStatus.PRESENT
        if (full := self._full(item, more=old is None)) is not None:
            return full
        if old is not None:
            self._write()  # it may be among those that wait
            _bury(self._session, self._row, self._sums, old)
        row = self._row
        row.sequence += 1
        row.images += 1
        row.kept_bytes += self._bytes(item)
        self._sums.change(item.label, item.vector, 1)
        new = ItemRow(gallery=row.number, key=item.key, label=item.label, digest=item.digest, sequence=row.sequence)
        self._known[item.key] = new
        self._waiting.append((new, item))
        return AddStatus.ADDED if old is None else AddStatus.REPLACED

    def _full(self, item: NewItem, *, more: bool) -> QuotaError | None:
        """What leaves no room for an image, which is one more, or replaces another."""
        row, limits = self._row, self._limits
        name, images = row.name or "", row.images + more
        if images > limits.images:
            return too_many_images(name, limits.images)
        needed = memory_of(images, row.classes + bool(item.label), row.dimension)
        if needed > limits.memory_bytes:
            return too_much_memory(name, needed, limits.memory_bytes)
        if self._others_bytes + row.kept_bytes + self._bytes(item) > limits.kept_bytes:
            return too_much_kept(limits.kept_bytes)
        return self._over_share(images, row.kept_bytes + self._bytes(item))

    def _over_share(self, images: int, kept_bytes: int) -> QuotaError | None:
        """Of who made this gallery, with so much in it."""
        quota, identity = self._quota, self._row.identity
        if quota is None:
            return None
        if quota.gallery_images is not None and self._own_images + images > quota.gallery_images:
            return over_share(identity, quota.gallery_images, "images in its galleries")
        if quota.gallery_mib is not None and self._own_bytes + kept_bytes > quota.gallery_mib * MIB:
            return over_share(identity, quota.gallery_mib, "MiB in its galleries")
        return None

    def _bytes(self, item: NewItem) -> int:
        picture = item.picture if self._row.keep_images else None
        return ROW_BYTES + 4 * self._row.dimension + len(picture or b"")

    def _write(self) -> None:
        self._session.add_all(new for new, _ in self._waiting)
        self._session.flush()
        generation = self._row.generation
        self._session.add_all(
            VectorRow(item=new.number, generation=generation, vector=to_bytes(item.vector))
            for new, item in self._waiting
        )
        self._session.add_all(
            ImageRow(item=new.number, data=item.picture)
            for new, item in self._waiting
            if self._row.keep_images and item.picture is not None
        )
        self._session.flush()
        self._waiting = []


def _item(session: Session, row: GalleryRow, key: str) -> ItemRow | None:
    return session.scalar(select(ItemRow).where(ItemRow.gallery == row.number, ItemRow.key == key))


def _remove(session: Session, row: GalleryRow, keys: Sequence[str]) -> list[str]:
    """Returns the keys of which there is none."""
    missing = []
    sums = Sums(session, row)
    for key in keys:
        # What cannot be an id is none, and some of it no database takes.
        item = _item(session, row, key) if is_key(key) else None
        if item is None:
            missing.append(key)
        else:
            _bury(session, row, sums, item)
    sums.store()
    _forget(session, row)
    return missing


def _bury(session: Session, row: GalleryRow, sums: Sums, item: ItemRow) -> None:
    """Only the row stays for a while, so that every index hears of it."""
    of_item = select(VectorRow.vector).where(VectorRow.item == item.number, VectorRow.generation == row.generation)
    sums.change(item.label, from_bytes(session.scalars(of_item).one()), -1)
    picture = session.scalar(select(func.length(ImageRow.data)).where(ImageRow.item == item.number)) or 0
    row.kept_bytes = max(0, row.kept_bytes - ROW_BYTES - 4 * row.dimension - picture)
    session.execute(delete(VectorRow).where(VectorRow.item == item.number))
    session.execute(delete(ImageRow).where(ImageRow.item == item.number))
    row.sequence += 1
    row.images -= 1
    item.key, item.sequence = None, row.sequence
    session.flush()


def _forget(session: Session, row: GalleryRow) -> None:
    last = row.sequence - _REMEMBERED
    if last - row.forgotten < _REMEMBERED:
        return
    session.execute(
        delete(ItemRow).where(ItemRow.gallery == row.number, ItemRow.key.is_(None), ItemRow.sequence <= last)
    )
    row.forgotten = last
