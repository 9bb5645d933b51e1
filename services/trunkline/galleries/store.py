"""The galleries themselves: made, looked at, listed, deleted."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trunkline.core.errors import AlreadyExistsError, InvalidRequestError, NotFoundError
from trunkline.core.galleries import Gallery, Reembedding, ReembeddingState
from trunkline.core.results import Calibration, Embedding
from trunkline.database.database import clock
from trunkline.galleries.database import Database
from trunkline.galleries.limits import Limits, over_share, too_many_galleries
from trunkline.galleries.schema import GalleryRow

_ECHOED = 100  # characters of what may be no name at all
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Record:
    """A gallery as it is in the database: the resource, and what only this package needs to know of it."""

    number: int
    uid: str
    generation: int
    sequence: int
    forgotten: int
    calibration: Calibration | None
    gallery: Gallery

    @property
    def name(self) -> str:
        return self.gallery.name


class GalleryStore:
    """Every method is one transaction and raises ServiceUnavailableError where the database does not answer."""

    def __init__(self, database: Database, limits: Limits | None = None) -> None:
        self._database = database
        self._limits = limits or Limits()

    def create(
        self,
        name: str,
        head: str,
        like: Embedding,
        threshold: float | None,
        *,
        keep_images: bool,
        identity: str = "",
    ) -> Record:
        """A new gallery in the space of `like`; the one of this name where it has the same settings.

        identity: who makes it. Raises InvalidRequestError for a name or a threshold, AlreadyExistsError, QuotaError.
        """
        check_name(name)
        check_threshold(threshold)
        try:
            with self._database.write() as session:
                row = _find(session, name)
                if row is None:
                    self._check_number(session, identity)
                    row = _new(name, head, like, threshold, keep_images, clock(session))
                    row.identity = identity
                    session.add(row)
                    session.flush()
                return _same(row, head, threshold, keep_images)
        except IntegrityError:  # another process made it between the look and the insert
            with self._database.read() as session:
                return _same(named(session, name), head, threshold, keep_images)

    def _check_number(self, session: Session, identity: str) -> None:
        quota = self._limits.quota_of(identity)
        if quota is not None and quota.galleries is not None:
            own = select(func.count(GalleryRow.name)).where(GalleryRow.identity == identity)
            if (session.scalar(own) or 0) >= quota.galleries:
                raise over_share(identity, quota.galleries, "galleries")
        named = session.scalar(select(func.count(GalleryRow.name))) or 0
        rows = session.scalar(select(func.count(GalleryRow.number))) or 0
        # Those that are deleted and not swept yet are rows, too: who makes and deletes without end has to wait.
        if named >= self._limits.galleries or rows >= 2 * self._limits.galleries + 10:
            raise too_many_galleries(self._limits.galleries)

    def get(self, name: str) -> Record:
        """Raises NotFoundError."""
        with self._database.read() as session:
            return record_of(named(session, name))

    def all(self) -> list[Record]:
        """In order of name."""
        with self._database.read() as session:
            rows = session.scalars(select(GalleryRow).where(GalleryRow.name.is_not(None)).order_by(GalleryRow.name))
            return [record_of(row) for row in rows]

    def delete(self, name: str) -> None:
        """Take its name away; what was in it is swept later. Raises NotFoundError."""
        with self._database.write() as session:
            row = named(session, name, lock=True)
            row.name, row.state, row.owner, row.lease_until, row.unswept = None, "", "", 0.0, True


def named(session: Session, name: str, *, lock: bool = False) -> GalleryRow:
    """Raises NotFoundError."""
    row = _find(session, name, lock=lock)
    if row is None:
        raise no_such_gallery(name)
    return row


def locked(session: Session, number: int) -> GalleryRow:
    """The row of a gallery, for whoever changes what is in it. Raises NotFoundError where it was deleted."""
    query = select(GalleryRow).where(GalleryRow.number == number, GalleryRow.name.is_not(None))
    row = session.scalar(query.with_for_update())
    if row is None:
        raise NotFoundError("the gallery was deleted")
    return row


def no_such_gallery(name: str) -> NotFoundError:
    name = name[:_ECHOED]
    return NotFoundError(
        f"there is no gallery {name!r}; ListGalleries, or trunkline gallery list, says which there are", gallery=name
    )


def check_name(name: str) -> None:
    """Raises InvalidRequestError for what is no name of a gallery."""
    if not is_name(name):
        raise InvalidRequestError(
            f"{name[:_ECHOED]!r} is no name of a gallery: use lower-case letters, digits and hyphens, at most 63"
        )


def is_name(name: str) -> bool:
    """Whether a gallery can have this name."""
    return _NAME.fullmatch(name) is not None


def check_threshold(threshold: float | None) -> None:
    """Raises InvalidRequestError."""
    if threshold is not None and not 0 <= threshold <= 2:
        raise InvalidRequestError(f"the threshold is {threshold:g}; distances of unit vectors are 0 to 2")


def record_of(row: GalleryRow) -> Record:
    """A row as a value."""
    calibration = Calibration(**row.calibration) if row.calibration else None
    by_head = row.threshold is None and calibration is not None
    gallery = Gallery(
        name=row.name or "",
        head=row.head,
        space=row.space,
        dimension=row.dimension,
        threshold=calibration.threshold if by_head and calibration else row.threshold,
        threshold_is_calibrated=by_head,
        keep_images=row.keep_images,
        images=row.images,
        classes=row.classes,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        reembedding=_reembedding(row),
    )
    return Record(row.number, row.uid, row.generation, row.sequence, row.forgotten, calibration, gallery)


def calibration_fields(calibration: Calibration | None) -> Mapping[str, Any] | None:
    """As JSON."""
    return None if calibration is None else asdict(calibration)


def _find(session: Session, name: str, *, lock: bool = False) -> GalleryRow | None:
    query = select(GalleryRow).where(GalleryRow.name == name)
    return session.scalar(query.with_for_update() if lock else query)


def _new(name: str, head: str, like: Embedding, threshold: float | None, keep_images: bool, now: float) -> GalleryRow:
    return GalleryRow(
        uid=secrets.token_hex(8),
        name=name,
        head=head,
        space=like.space,
        dimension=len(like.values),
        calibration=calibration_fields(like.calibration),
        threshold=threshold,
        keep_images=keep_images,
        created_at=now,
        generation=1,
        new_generation=1,
        sequence=0,
        forgotten=0,
        images=0,
        classes=0,
    )


def _same(row: GalleryRow, head: str, threshold: float | None, keep_images: bool) -> Record:
    if (row.head, row.threshold, row.keep_images) != (head, threshold, keep_images):
        raise AlreadyExistsError(
            f"there is a gallery {row.name!r} with other settings: delete it first, or take another name",
            gallery=row.name,
        )
    return record_of(row)


def _reembedding(row: GalleryRow) -> Reembedding | None:
    if not row.state:
        return None
    return Reembedding(ReembeddingState(row.state), row.new_head, row.new_space, row.done, row.total, row.error)
