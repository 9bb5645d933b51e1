"""SQLite in a file, or PostgreSQL by URL; short transactions, one kind of error."""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from trunkline.core.errors import ConfigurationError, ServiceUnavailableError
from trunkline.database.schema import Schema, bring_up_to_date

_BUSY_S: Final = 30  # how long a writer waits for another one
_READ: Final = "trunkline_read"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Purpose:
    """What a database is for, in the words of its errors: `what`, as in "job database", its setting and contents."""

    what: str
    setting: str
    contents: str
    schema: Schema


class Database:
    """Transactions on the tables of a schema. May be shared between threads; each process makes its own."""

    def __init__(self, url: str, purpose: Purpose) -> None:
        """Connects and brings the tables up to date. Raises ConfigurationError where that cannot be done."""
        parsed = _parsed(url, purpose)
        self._what = purpose.what
        self._engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
        self._reader = self._engine.execution_options(**{_READ: True})
        try:
            with self.write() as session:
                bring_up_to_date(session.connection(), purpose.schema, purpose.what)
        except ConfigurationError:
            self.close()
            raise
        except ServiceUnavailableError as error:
            self.close()
            shown = parsed.render_as_string(hide_password=True)
            raise ConfigurationError(f"the {self._what} {shown} cannot be opened: {_why(error)}") from error

    def close(self) -> None:
        """End all connections."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that writes nothing. Raises ServiceUnavailableError where the database cannot be reached."""
        with _session(self._reader, self._what) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is committed at the end, or undone by an error."""
        with _session(self._engine, self._what) as session:
            yield session


@contextmanager
def _session(engine: Engine, what: str) -> Iterator[Session]:
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
    except (OperationalError, InterfaceError) as error:
        _log.warning("the %s does not answer: %s", what, _first_line(error))
        if _disk_is_full(error):
            raise ServiceUnavailableError(f"the disk of the {what} is full; make room there and try again") from error
        raise ServiceUnavailableError(f"the {what} does not answer; try again") from error


def _disk_is_full(error: DBAPIError) -> bool:
    """As SQLite and PostgreSQL (53100, disk_full) say it."""
    cause = error.orig
    return (
        getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", "") == "53100"
    )


def clock(session: Session) -> float:
    """Seconds since 1970 by the clock that all users of the database share."""
    if session.get_bind().dialect.name == "postgresql":
        return float(session.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)
    return time.time()  # a SQLite file has users on one machine alone


def _parsed(url: str, purpose: Purpose) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            f"setting {purpose.setting} is no URL; write sqlite:///PATH or postgresql://USER@HOST/DATABASE"
        ) from error
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError(
            f"setting {purpose.setting}: {purpose.contents} live in sqlite:///PATH or postgresql://USER@HOST/DATABASE"
        )
    return parsed


def _sqlite(url: URL) -> Engine:
    try:
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the folder of {url.database} cannot be made: {error.strerror}") from error
    engine = create_engine(url, connect_args={"timeout": _BUSY_S})

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the transactions are those of `_begin`, not those of the driver
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails where another one wrote in between.
        reads = connection.get_execution_options().get(_READ, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    # SQLite does not wait its busy timeout for this one, and processes that start at once all want it.
    ends_at = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.05)
        else:
            return


def _postgresql(url: URL) -> Engine:
    return create_engine(url, pool_pre_ping=True, pool_size=4, connect_args={"connect_timeout": 10})


def _why(error: ServiceUnavailableError) -> str:
    return _first_line(error.__cause__) if isinstance(error.__cause__, DBAPIError) else error.message


def _first_line(error: DBAPIError) -> str:
    return (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
