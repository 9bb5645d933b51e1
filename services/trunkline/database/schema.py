"""The steps that bring the tables of a database up to date, whoever starts first."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Integer, insert, inspect, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.database.faults import Fault, FaultError, fault_of_sqlite, foreign

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

    `what` names the database. Raises FaultError for one of a newer version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    row, steps = schema.versions, schema.steps
    made = inspect(connection).has_table(row.__tablename__)
    version = connection.scalar(select(row.version)) if made else None
    if version is not None and version > len(steps):
        newer = f"the {what} is of a newer trunkline (schema {version}, here {len(steps)}): update trunkline"
        raise FaultError(Fault(newer, "it is left as it is"))
    for step in steps[version or 0 :]:
        step(connection)
    if version is None:
        connection.execute(insert(row).values(id=1, version=len(steps)))
    elif version < len(steps):
        connection.execute(update(row).values(version=len(steps)))


def check_ours(path: Path, what: str, timeout_s: float) -> None:
    """Look at a SQLite file without a change to it. Raises FaultError where it is not ours, or no database."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=timeout_s)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error as error:
        raise FaultError(fault_of_sqlite(error, what)) from error
    tables = [str(name) for (name,) in found]
    # Jobs and galleries may share a file; what says the version of a schema is named so.
    if tables and not any(table.endswith("_schema") for table in tables):
        raise FaultError(foreign(what, f"it has tables {', '.join(tables)[:200]}"))
