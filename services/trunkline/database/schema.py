"""The steps that bring the tables of a database up to date, whoever starts first."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Integer, insert, inspect, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.core.errors import ConfigurationError

_LOCK = 7_217_304_461  # the advisory lock of PostgreSQL under which a schema is changed
Step = Callable[[Connection], None]


class VersionRow:
    """One row: the number of steps that were made. A mix-in for the table of a schema."""

    __tablename__: str
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int]


@dataclass(frozen=True)
class Schema:
    """The table that says which steps were made, and the steps, in order."""

    versions: type[VersionRow]
    steps: tuple[Step, ...]


def bring_up_to_date(connection: Connection, schema: Schema, what: str) -> None:
    """Make or change the tables, inside a transaction that writes. Others that start meanwhile wait for it.

    `what` names the database. Raises ConfigurationError for one of a newer version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    row, steps = schema.versions, schema.steps
    made = inspect(connection).has_table(row.__tablename__)
    version = connection.scalar(select(row.version)) if made else None
    if version is not None and version > len(steps):
        raise ConfigurationError(
            f"the {what} is of a newer trunkline (schema {version}, here {len(steps)}): update trunkline"
        )
    for step in steps[version or 0 :]:
        step(connection)
    if version is None:
        connection.execute(insert(row).values(id=1, version=len(steps)))
    elif version < len(steps):
        connection.execute(update(row).values(version=len(steps)))
