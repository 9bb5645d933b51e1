"""SQLite in a file, or PostgreSQL by URL; short transactions, one kind of error."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, func, select, text, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, OperationalError
from sqlalchemy.orm import Session

from trunkline.core.errors import ConfigurationError
from trunkline.database.condition import Condition
from trunkline.database.faults import LOOK_S, Fault, FaultError, damaged, fault_of
from trunkline.database.file import DatabaseFile
from trunkline.database.schema import Schema, bring_up_to_date, check_ours

# How long a lock of somebody else is waited for: well below the deadline of a call.
_BUSY_S: Final = 5
_CHECK_S: Final = 3.0
_BELIEVED_S: Final = 0.5
_READ: Final = "trunkline_read"
_SHRUNK_AT_ONCE: Final = 1000  # pages
_SILENCE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2, "tcp_user_timeout": 15_000}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Purpose:
    """What a database is for, in the words of its errors: `what`, as in "job database", its setting and contents."""

    what: str
    setting: str
    contents: str
    schema: Schema


class Database:
    """Transactions on the tables of a schema. May be shared between threads; each process makes its own.

    It is opened by the first transaction. One that is damaged, locked, away or not ours costs the transactions: each
    of them looks again, so that a database that was mended answers without a restart.
    """

    def __init__(self, url: str, purpose: Purpose) -> None:
        """Opens nothing yet. Raises ConfigurationError for a URL that is none."""
        parsed = _parsed(url, purpose)
        self._purpose = purpose
        self._where = parsed.render_as_string(hide_password=True)
        self._what = purpose.what
        self._file: DatabaseFile | None = None
        if parsed.get_backend_name() == "sqlite":
            path = Path(parsed.database or "")
            self._what = f"{purpose.what} {path.name}"
            self._file = DatabaseFile(path, self._what)
            self._engine = _sqlite(parsed)
        else:
            self._engine = _postgresql(parsed)
        self._reader = self._engine.execution_options(**{_READ: True})
        self._condition = Condition(self._what)
        self._opening = threading.Lock()
        self._open = self._suspect = False
        self._shut: tuple[Fault, float] | None = None  # why it could not be opened, and until when that is believed

    @property
    def what(self) -> str:
        """In words, for errors."""
        return self._what

    @property
    def trouble(self) -> str:
        """What is wrong with it, for callers; "" where nothing is known to be."""
        fault = self._condition.fault
        return "" if fault is None else fault.message

    def look(self) -> None:
        """See whether it answers, or whether what was wrong is over. Raises ServiceUnavailableError."""
        version = self._purpose.schema.versions
        fault = self._condition.fault
        if fault is not None and fault.writes_only:
            with self.write() as session:
                session.execute(update(version).values(version=version.version))
        else:
            with self.read() as session:
                session.scalar(select(version.version))

    def close(self) -> None:
        """End all connections."""
        self._engine.dispose()
        if self._file is not None:
            self._file.close()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that writes nothing. Raises ServiceUnavailableError where the database cannot be used."""
        with self._session(self._reader, writes=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is committed at the end, or undone by an error."""
        with self._session(self._engine, writes=True) as session:
            yield session

    def shrink(self) -> bool:
        """Give the disk some of what was deleted; returns whether there is more. PostgreSQL does so by itself."""
        if self._file is None:
            return False
        with self.write() as session:
            before = session.scalar(text("PRAGMA freelist_count")) or 0
            # It gives a page for each row that is fetched, and its rows have no columns: to Python that is the end.
            driver: Any = session.connection().connection.driver_connection
            for _ in range(min(before, _SHRUNK_AT_ONCE)):
                driver.execute("PRAGMA incremental_vacuum(1)")
            after = session.scalar(text("PRAGMA freelist_count")) or 0
        return 0 < after < before

    @contextmanager
    def _session(self, engine: Engine, *, writes: bool) -> Iterator[Session]:
        if self._file is not None and not self._file.same:
            self._condition.retry()
        self._condition.enter(writes=writes)
        try:
            self._make_open()
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        except FaultError as error:  # a database that is not open answers no reads either
            raise self._condition.failed(error.fault, writes=False) from error
        except DBAPIError as error:
            fault = fault_of(error, self._what)
            if fault is None:
                self._condition.undecided()
                raise
            self._note(fault)
            raise self._condition.failed(fault, writes=writes) from error
        except BaseException:
            self._condition.undecided()
            raise
        self._condition.passed(writes=writes)

    def _make_open(self) -> None:
        if self._open and (self._file is None or self._file.same):
            return
        with self._opening:
            if self._file is not None:
                self._shut = self._shut if self._file.same else None
                self._look_at(self._file)
            if not self._open:
                self._bring_up_to_date()
                self._open, self._suspect = True, False
                if self._file is not None:
                    self._file.look()

    def _look_at(self, file: DatabaseFile) -> None:
        try:
            useful = file.look()
        except FaultError as error:
            if error.fault.damaged:
                file.set_aside_log(if_empty=self._open)
            self._leave(file)
            raise
        if self._open and file.replaced:
            _log.warning("the %s at %s was replaced or deleted: it is opened again", self._what, file.path)
        if not useful or not self._open:
            self._leave(file)  # connections to what was there before

    def _leave(self, file: DatabaseFile) -> None:
        self._open = False
        self._engine.dispose()
        file.close_former()

    def _note(self, fault: Fault) -> None:
        """What is damaged is looked through before it is used again, and another server may have other tables."""
        if self._file is None:
            self._open = self._open and fault.writes_only
        elif fault.damaged:
            self._suspect = True
            with self._opening:
                self._leave(self._file)

    def _bring_up_to_date(self) -> None:
        if self._shut is not None and time.monotonic() < self._shut[1]:
            raise FaultError(self._shut[0])  # who waited for a try need not make the same one
        try:
            if self._file is not None and self._file.is_there:
                check_ours(self._file.path, self._what, _BUSY_S)
            with self._engine.begin() as connection:
                if self._suspect:
                    _look_through(connection, self._what)
                bring_up_to_date(connection, self._purpose.schema, self._what)
        except FaultError as error:
            raise self._not_opened(error.fault) from error
        except DBAPIError as error:
            fault = fault_of(error, self._what)
            if fault is None:
                raise
            raise self._not_opened(fault) from error

    def _not_opened(self, fault: Fault) -> FaultError:
        fault = replace(fault, detail=f"{self._where}: {fault.detail}")
        self._suspect = self._suspect or fault.damaged
        self._shut = (fault, time.monotonic() + min(fault.pause_s, _BELIEVED_S))
        return FaultError(fault)


def clock(session: Session) -> float:
    """Seconds since 1970 by the clock that all users of the database share."""
    if session.get_bind().dialect.name == "postgresql":
        return float(session.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)
    return time.time()  # a SQLite file has users on one machine alone


def _look_through(connection: Connection, what: str) -> None:
    """Raises FaultError where a file is damaged still, as far as can be seen in a short time."""
    ends_at = time.monotonic() + _CHECK_S
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(lambda: time.monotonic() > ends_at, 100_000)
    try:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
            raise
        found = "ok"  # it is too large to say more
    except DatabaseError as error:
        raise FaultError(damaged(what, str(error.orig), LOOK_S)) from error
    finally:
        driver.set_progress_handler(None, 0)
    if found != "ok":
        raise FaultError(damaged(what, str(found), LOOK_S))


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
    engine = create_engine(url, connect_args={"timeout": _BUSY_S})

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the transactions are those of `_begin`, not those of the driver
        if not connection.execute("PRAGMA page_count").fetchone()[0]:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # so that what is deleted can be given back
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
    waits = {"connect_timeout": _BUSY_S, **_SILENCE, "options": f"-c lock_timeout={1000 * _BUSY_S}"}
    wanted = {name: value for name, value in waits.items() if name not in url.query}
    return create_engine(url, pool_pre_ping=True, pool_size=4, connect_args=wanted)
