"""Tables of the job store, and the steps that bring an older database up to date."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    Dialect,
    Double,
    Index,
    Integer,
    String,
    TypeDecorator,
    inspect,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from trunkline.database.schema import Schema, VersionRow


class StoredJson(TypeDecorator[Any]):
    """JSON, or the text itself where it is none: what is damaged in one row must not fail those read with it."""

    impl = JSON
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        read = super().result_processor(dialect, coltype)

        def tolerant(value: Any) -> Any:
            try:
                return value if read is None else read(value)
            except (ValueError, TypeError, RecursionError):
                return value

        return tolerant


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: StoredJson, float: Double, str: String}  # noqa: RUF012 - SQLAlchemy reads it


class SchemaRow(VersionRow, Base):
    __tablename__ = "trunkline_schema"


class JobRow(Base):
    """A job. Times are seconds since 1970, by the clock of the database.

    number: in order of creation. owner: token of the worker that may write, "" where none is; lease_until: when it is
    taken for dead. handle: what the launcher knows the worker by. crashes: workers that died on it.
    models: folder or URL of the model repository to publish into. identity: who made it, "" where nobody was asked;
    most_running: how many of theirs may run at a time. swept: nothing of it is left in the work folder.
    """

    __tablename__ = "jobs"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    request_id: Mapped[str] = mapped_column(String(128), unique=True)
    name: Mapped[str] = mapped_column(String(63), index=True)
    request: Mapped[dict[str, Any]]
    models: Mapped[str]
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str] = mapped_column(String(64), default="")
    handle: Mapped[str] = mapped_column(String(255), default="")
    lease_until: Mapped[float] = mapped_column(default=0.0)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    progress: Mapped[dict[str, Any] | None] = mapped_column(StoredJson(none_as_null=True))
    metrics: Mapped[dict[str, Any]] = mapped_column(StoredJson, default=dict)
    model_version: Mapped[str] = mapped_column(String(32), default="")
    error: Mapped[dict[str, Any] | None] = mapped_column(StoredJson(none_as_null=True))
    last_sequence: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    swept: Mapped[bool] = mapped_column(Boolean, default=False)
    identity: Mapped[str] = mapped_column(String(128), default="", server_default="")
    most_running: Mapped[int | None]

    __table_args__ = (Index("jobs_by_state", "state", "number"),)


class EventRow(Base):
    """An event of a job. kind: "state", "progress" or "epoch"; stage: of progress, whose older events go."""

    __tablename__ = "job_events"

    job: Mapped[int] = mapped_column(Integer, primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[float]
    kind: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str] = mapped_column(String(64), default="")
    payload: Mapped[dict[str, Any]]


def _first(connection: Connection) -> None:
    Base.metadata.create_all(connection)


def _know_identities(connection: Connection) -> None:
    # A new database has all columns of today from its first step on.
    if "identity" not in {column["name"] for column in inspect(connection).get_columns("jobs")}:
        connection.execute(text("ALTER TABLE jobs ADD COLUMN identity VARCHAR(128) NOT NULL DEFAULT ''"))
        connection.execute(text("ALTER TABLE jobs ADD COLUMN most_running INTEGER"))


# Each is run once on a database, in order; what was released is never changed, a new step is added behind it.
SCHEMA = Schema(SchemaRow, (_first, _know_identities))
