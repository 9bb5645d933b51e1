"""What can be wrong with a database, in words for callers: what it is and what to do, without path or password."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

_TRY_S: Final = 1.0  # between two tries of what keeps a thread waiting
LOOK_S: Final = 30.0  # between two looks through a damaged file that nobody has changed


@dataclass(frozen=True)
class Fault:
    """message: for callers; detail: for the log alone. writes_only: what reads goes on.

    pause_s: until it is tried again, as a try takes long; meanwhile calls fail at once. damaged: of a SQLite file.
    """

    message: str
    detail: str = ""
    writes_only: bool = False
    pause_s: float = 0.0
    damaged: bool = False


class FaultError(Exception):
    """Carries a fault to where callers are told of it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def damaged(what: str, detail: str, pause_s: float = 0.0) -> Fault:
    """`what` names the database, as in "gallery database galleries.db"."""
    text = f"the {what} is damaged: restore it from a backup or move it away; it is looked at again"
    return Fault(text, detail, pause_s=pause_s, damaged=True)


def foreign(what: str, detail: str) -> Fault:
    """A database with other tables than ours."""
    return Fault(f"the {what} is of another program: give a database of its own, or restore the right one", detail)


def cannot_be_opened(what: str, detail: str) -> Fault:
    text = f"the {what} cannot be opened: look at its path, its folder and their permissions; it is looked at again"
    return Fault(text, detail)


def fault_of(error: DBAPIError, what: str) -> Fault | None:
    """What an error of the driver says about the database; None where it is one of the statement."""
    if isinstance(error, IntegrityError | DataError | NotSupportedError):
        return None
    cause, detail = error.orig, first_line(error)
    if isinstance(cause, sqlite3.Error):
        if isinstance(error, ProgrammingError):
            return None
        return fault_of_sqlite(cause, what)
    return _of_postgresql(getattr(cause, "sqlstate", None) or "", error, what, detail)


def first_line(error: DBAPIError) -> str:
    return (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]


def _full(what: str, detail: str) -> Fault:
    return Fault(f"the disk of the {what} is full; make room there and try again", detail, writes_only=True)


def _read_only(what: str, detail: str) -> Fault:
    text = f"the {what} cannot be written: look at its disk and permissions; it is tried again"
    return Fault(text, detail, writes_only=True)


def _locked(what: str, detail: str) -> Fault:
    text = f"the {what} is locked by another process: end what holds it, or try again"
    return Fault(text, detail, writes_only=True, pause_s=_TRY_S)


def _silent(what: str, detail: str) -> Fault:
    return Fault(f"the {what} does not answer; try again", detail, pause_s=_TRY_S)


def _unreadable(what: str, detail: str) -> Fault:
    return Fault(f"the {what} cannot be read or written: look at its disk; it is looked at again", detail)


def _refused(what: str, detail: str) -> Fault:
    return Fault(f"the {what} refuses us: look at its name, user and password; it is tried again", detail)


def _changed(what: str, detail: str) -> Fault:
    return Fault(f"the {what} was changed by others meanwhile; try again", detail)


def _damaged_file(what: str, detail: str) -> Fault:
    return damaged(what, detail, LOOK_S)


_SQLITE: Final[Mapping[int, Callable[[str, str], Fault]]] = {
    sqlite3.SQLITE_CORRUPT: _damaged_file,
    sqlite3.SQLITE_NOTADB: _damaged_file,
    sqlite3.SQLITE_FULL: _full,
    sqlite3.SQLITE_READONLY: _read_only,
    sqlite3.SQLITE_BUSY: _locked,
    sqlite3.SQLITE_LOCKED: _locked,
    sqlite3.SQLITE_CANTOPEN: cannot_be_opened,
    sqlite3.SQLITE_PERM: cannot_be_opened,
    sqlite3.SQLITE_AUTH: cannot_be_opened,
    sqlite3.SQLITE_IOERR: _unreadable,
}
# By SQLSTATE, or its class. Source: appendix A of PostgreSQL's manual.
_POSTGRESQL: Final[Mapping[str, Callable[[str, str], Fault]]] = {
    "53100": _full,
    "25006": _read_only,
    "55P03": _locked,
    "57014": _locked,
    "XX001": damaged,
    "XX002": damaged,
    "42P01": foreign,
    "42703": foreign,
    "42501": _refused,
    "40001": _changed,
    "40P01": _changed,
    "28": _refused,
    "3D": _refused,
}


def fault_of_sqlite(error: sqlite3.Error, what: str) -> Fault:
    """What an error of SQLite says about the database."""
    code, detail = getattr(error, "sqlite_errorcode", None) or 0, str(error)
    if code == sqlite3.SQLITE_ERROR and "no such" in detail:
        return foreign(what, detail)
    if code == sqlite3.SQLITE_ERROR and "file format" in detail:
        return _damaged_file(what, detail)
    return _SQLITE.get(code & 0xFF, _silent)(what, detail)  # the rest of the code says more of the same


def _of_postgresql(state: str, error: DBAPIError, what: str, detail: str) -> Fault | None:
    known = _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
    if known is None and isinstance(error, ProgrammingError):
        return None
    return (known or _silent)(what, detail)
