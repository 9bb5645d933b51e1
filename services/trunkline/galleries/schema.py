"""Tables of the galleries. The database says all there is to know; what is in memory is made from it."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from trunkline.database.schema import Schema, VersionRow
from trunkline.galleries.limits import ROW_BYTES


class Base(DeclarativeBase):
    type_annotation_map = {float: Double, str: String, bytes: LargeBinary}  # noqa: RUF012 - SQLAlchemy reads it


class SchemaRow(VersionRow, Base):
    __tablename__ = "gallery_schema"


class GalleryRow(Base):
    """A gallery. Whoever changes what is in it locks this row first, so that sequence numbers are seen in order.

    name: None once it is deleted. uid: random, so that files of an index are of this gallery and no other. identity:
    who made it, "" where nobody was asked. generation: of the vectors that answer. sequence: number of the last
    change. forgotten: the last change of which no trace is left, since what was removed is not kept in mind for
    ever. unswept: rows of other generations, or of a deleted gallery, are left. kept_bytes: vectors and pictures, for
    the quota. The fields with `new_` are those of the last re-embedding: its generation, head, space and what belongs
    to that; owner: token of the process that works on it, for as long as its lease.
    """

    __tablename__ = "galleries"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    uid: Mapped[str] = mapped_column(String(32))
    identity: Mapped[str] = mapped_column(String(128), default="", server_default="")
    name: Mapped[str | None] = mapped_column(String(63), unique=True)
    head: Mapped[str] = mapped_column(String(255))
    space: Mapped[str] = mapped_column(String(255))
    dimension: Mapped[int]
    calibration: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    threshold: Mapped[float | None]
    keep_images: Mapped[bool] = mapped_column(Boolean)
    generation: Mapped[int] = mapped_column(default=1)
    sequence: Mapped[int] = mapped_column(default=0)
    forgotten: Mapped[int] = mapped_column(default=0)
    images: Mapped[int] = mapped_column(default=0)
    classes: Mapped[int] = mapped_column(default=0)
    kept_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[float]
    unswept: Mapped[bool] = mapped_column(Boolean, default=False)

    state: Mapped[str] = mapped_column(String(16), default="")
    new_generation: Mapped[int] = mapped_column(default=1)
    new_head: Mapped[str] = mapped_column(String(255), default="")
    new_space: Mapped[str] = mapped_column(String(255), default="")
    new_dimension: Mapped[int] = mapped_column(default=0)
    new_calibration: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(String, default="")
    owner: Mapped[str] = mapped_column(String(32), default="")
    lease_until: Mapped[float] = mapped_column(default=0.0)


class ItemRow(Base):
    """An image of a gallery. An image that is replaced becomes another row.

    number: what indexes know it by. key: the caller's id, None once it is removed. digest: SHA-256 of its content.
    sequence: number of its last change.
    """

    __tablename__ = "gallery_items"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    gallery: Mapped[int]
    key: Mapped[str | None] = mapped_column(String(255))
    label: Mapped[str] = mapped_column(String(255), default="")
    digest: Mapped[str] = mapped_column(String(64))
    sequence: Mapped[int]

    __table_args__ = (
        UniqueConstraint("gallery", "key"),
        Index("gallery_items_by_sequence", "gallery", "sequence"),
        {"sqlite_autoincrement": True},  # a number is never used again
    )


class VectorRow(Base):
    """The vector of an image in a generation: float32 little-endian, L2-normalised."""

    __tablename__ = "gallery_vectors"

    item: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    generation: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    vector: Mapped[bytes]


class ImageRow(Base):
    """The picture of an image, where its gallery keeps them."""

    __tablename__ = "gallery_images"

    item: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    data: Mapped[bytes]


class ClassRow(Base):
    """The sum of the vectors of a class in a generation, float64 little-endian, and how many they are.

    sequence: number of its last change; a class without images stays, with a count of 0.
    """

    __tablename__ = "gallery_classes"

    gallery: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    generation: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    label: Mapped[str] = mapped_column(String(255), primary_key=True)
    total: Mapped[bytes]
    count: Mapped[int]
    sequence: Mapped[int]


def _first(connection: Connection) -> None:
    Base.metadata.create_all(connection)


def _count_bytes(connection: Connection) -> None:
    # A new database has all columns of today from its first step on.
    if "kept_bytes" not in {column["name"] for column in inspect(connection).get_columns("galleries")}:
        connection.execute(text("ALTER TABLE galleries ADD COLUMN kept_bytes BIGINT NOT NULL DEFAULT 0"))
        pictures = (
            "SELECT COALESCE(SUM(LENGTH(data)), 0) FROM gallery_images "
            "JOIN gallery_items ON item = gallery_items.number WHERE gallery = galleries.number"
        )
        row = f"(4 * dimension + {ROW_BYTES})"
        connection.execute(text(f"UPDATE galleries SET kept_bytes = images * {row} + ({pictures})"))


def _know_identities(connection: Connection) -> None:
    if "identity" not in {column["name"] for column in inspect(connection).get_columns("galleries")}:
        connection.execute(text("ALTER TABLE galleries ADD COLUMN identity VARCHAR(128) NOT NULL DEFAULT ''"))


# Each is run once on a database, in order; what was released is never changed, a new step is added behind it.
SCHEMA = Schema(SchemaRow, (_first, _count_bytes, _know_identities))
