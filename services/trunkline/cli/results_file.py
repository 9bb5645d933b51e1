"""A file of results, one JSON document a line, that a later run goes on with.

Each line is written whole, at once; what a killed run left of its last line is cut off. A picture has at most one
line: those that failed for a reason that may pass lose theirs when the next run begins, and are asked about again.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from trunkline.core.errors import ConfigurationError

_MAY_PASS = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})


class ResultsFile:
    """Open for one run at a time. `done` are the pictures that have a line."""

    def __init__(self, path: Path, heads: Collection[str]) -> None:
        """heads: those that are asked, which must be those of the lines that are there."""
        self._path = path
        self._heads = frozenset(heads)
        self.done: set[str] = set()

    def __enter__(self) -> Self:
        """Raises ConfigurationError where another run has the file, or it holds something else; OSError."""
        if self._path.exists() and not self._path.is_file():
            raise ConfigurationError(f"{self._path} is not a file; name another with --out")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _locked(self._path)
        try:
            whole = self._read()
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(whole)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, document: Mapping[str, Any]) -> None:
        """Write the line of a picture. Raises OSError, and leaves whole lines alone, where the disk is full."""
        line = json.dumps(document, allow_nan=False).encode() + b"\n"
        begin = os.fstat(self._file.fileno()).st_size
        written = self._file.write(line)
        if written != len(line):
            self._file.truncate(begin)
            raise OSError(f"{self._path} cannot be written: the disk is full")
        self.done.add(str(document["image"]))

    def _read(self) -> int:
        """Note what is done, drop what is to be asked again; the length of the whole lines, bytes."""
        again = False
        for number, _, document in self._lines():
            if may_pass(document):
                again = True
            else:
                self._check(document, number)
                self.done.add(document["image"])
        if again:
            self._drop()
        self._file.seek(0)
        return sum(len(line) for line in self._file if line.endswith(b"\n"))

    def _drop(self) -> None:
        """Replace the file by one without the lines that are to be asked again: either is there, whatever happens."""
        number, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(number, "wb") as kept:
                kept.writelines(line for _, line, document in self._lines() if not may_pass(document))
                os.fchmod(kept.fileno(), os.fstat(self._file.fileno()).st_mode)
                kept.flush()
                os.fsync(kept.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        old, self._file = self._file, _locked(self._path)
        old.close()

    def _lines(self) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
        """Number from 1, bytes and document of each whole line."""
        self._file.seek(0)
        for number, line in enumerate(self._file, 1):
            if line.endswith(b"\n"):
                yield number, line, self._document(line, number)

    def _document(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            document = None
        if not _is_result(document):
            raise ConfigurationError(
                f"{self._path}, line {number}: no result of trunkline analyze; name another file with --out"
            )
        return dict(document)

    def _check(self, document: Mapping[str, Any], number: int) -> None:
        heads = {outcome["head"] for outcome in document.get("outcomes", ())}
        if heads and heads != self._heads:
            raise ConfigurationError(
                f"{self._path}, line {number}: results of {', '.join(sorted(heads))}, not of "
                f"{', '.join(sorted(self._heads))}; name another file with --out"
            )


def _is_result(document: Any) -> bool:
    """Whether it has the parts of a result that are looked at here, each of its kind."""
    if not isinstance(document, dict) or not isinstance(document.get("image"), str):
        return False
    outcomes = document.get("outcomes", [])
    if not isinstance(outcomes, list) or not all(isinstance(outcome, dict) for outcome in outcomes):
        return False
    if not all(isinstance(outcome.get("head"), str) for outcome in outcomes):
        return False
    errors = [document.get("error"), *(outcome.get("error") for outcome in outcomes)]
    return all(error is None or (isinstance(error, dict) and _has_code(error)) for error in errors)


def _has_code(error: Mapping[str, Any]) -> bool:
    return isinstance(error.get("code", ""), str)


def may_pass(document: Mapping[str, Any]) -> bool:
    """Whether a picture, or a head about it, failed for a reason that may be gone the next time."""
    errors = [document.get("error"), *(outcome.get("error") for outcome in document.get("outcomes", ()))]
    return any(error is not None and error.get("code") in _MAY_PASS for error in errors)


def _locked(path: Path) -> BinaryIO:
    """The file at this path, made where there is none, unbuffered. Raises ConfigurationError where another has it."""
    file: Any = path.open("a+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.path.samestat(os.fstat(file.fileno()), path.stat())
    except BlockingIOError:
        ours = False
    except BaseException:
        file.close()
        raise
    if not ours:
        file.close()
        raise ConfigurationError(f"{path} is being written by another run; name another file with --out")
    return file  # type: ignore[no-any-return]
