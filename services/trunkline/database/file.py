"""The file of a SQLite database: looked at before each transaction, as SQLite itself sees a change of it late.

An open connection goes on with a file that was deleted, and with pages in memory of one that was overwritten.
"""

import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from trunkline.database.faults import FaultError, cannot_be_opened, damaged

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100


class DatabaseFile:
    """`what` names the database in errors. Of one thread at a time, but for `same`."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what
        # It stays open, since closing any of its descriptors would end the locks that SQLite holds on the file.
        self._descriptor = -1
        self._former: list[int] = []  # descriptors of files that were here before
        self._file = (0, 0)  # device and inode of that
        self._schema = b""
        self._size = -1
        self._seen: tuple[int, ...] | None = None
        self.replaced = False  # whether the last look found another file than the one before, or none any more

    @property
    def same(self) -> bool:
        """Whether nothing has touched it since look() was content; a moment's work."""
        return self._seen is not None and self._signature() == self._seen

    @property
    def is_there(self) -> bool:
        """Whether there was a file at the last look."""
        return self._descriptor >= 0

    def look(self) -> bool:
        """Whether connections to it are still of use. Raises FaultError for what SQLite should not be shown."""
        before, self._seen = self._seen, None
        former = self._file
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self.replaced = former != (0, 0)
            return self._absent()
        except OSError as error:
            raise self._unreadable(error) from error
        if not stat.S_ISREG(found.st_mode):
            raise FaultError(cannot_be_opened(self._what, f"{self.path} is no file"))
        signature = self._signature()
        self.replaced = former not in ((0, 0), (found.st_dev, found.st_ino))
        good = self._header_is_good(found)
        same = before is not None and good and found.st_size >= self._size
        self._size, self._seen = found.st_size, signature
        return same

    def set_aside_log(self, *, if_empty: bool) -> None:
        """The log of a damaged file, FILE-wal: what it holds must not come into a file that is restored in its place.

        SQLite writes it there with the last connection that is closed, or the first that is opened. if_empty: also
        where the file is empty, whose log SQLite may find to be all that there is.
        """
        log = self.path.with_name(self.path.name + "-wal")
        with suppress(OSError):
            if log.stat().st_size and (if_empty or self.path.stat().st_size):
                aside = f"{log.name}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
                shutil.copyfile(log, log.with_name(aside))
                os.truncate(log, 0)

    def close_former(self) -> None:
        """After the connections to files that were here before."""
        while self._former:
            os.close(self._former.pop())

    def close(self) -> None:
        """After all connections."""
        self._leave()
        self.close_former()

    def _leave(self) -> None:
        if self._descriptor >= 0:
            self._former.append(self._descriptor)
        self._descriptor, self._file, self._schema, self._size = -1, (0, 0), b"", -1

    def _absent(self) -> bool:
        if self.path.is_symlink():
            raise FaultError(cannot_be_opened(self._what, f"{self.path} is a link to nothing"))
        self._leave()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unreadable(error) from error
        return False

    def _header_is_good(self, found: os.stat_result) -> bool:
        """Whether it is the header of the same database. Raises FaultError where it is that of none."""
        known = self._file == (found.st_dev, found.st_ino)
        if not known:
            self._leave()
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                raise self._unreadable(error) from error
            self._file = found.st_dev, found.st_ino
        try:
            header = os.pread(self._descriptor, _HEADER_BYTES, 0)
        except OSError as error:
            raise self._unreadable(error) from error
        if not header and not (known and self._schema) and not self._has_log:
            return False  # an empty file is a database without tables
        if not header.startswith(_MAGIC) or len(header) < _HEADER_BYTES:
            raise FaultError(damaged(self._what, f"{self.path} does not begin as a SQLite file"))
        # A number that changes with the tables: those of another database, or ours once the log is written into it.
        before, self._schema = self._schema, header[40:44]
        return known and self._schema == before

    @property
    def _has_log(self) -> bool:
        with suppress(OSError):
            return self.path.with_name(self.path.name + "-wal").stat().st_size > 0
        return False

    def _signature(self) -> tuple[int, ...] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _unreadable(self, error: OSError) -> FaultError:
        return FaultError(cannot_be_opened(self._what, f"{self.path}: {error.strerror}"))
