"""Which version of a head is which: `heads/<name>/catalog.json`.

Where the file is absent, the default is the highest version, so a folder copied by hand just works. A version that
is published never becomes the default by being there: pin_default before, note_published after.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from trunkline.core.bundle import KIND_FOLDERS
from trunkline.core.errors import ModelInvalidError, NotFoundError, StorageError
from trunkline.core.files import MIB, read_regular
from trunkline.core.models import HeadCatalog
from trunkline.core.repository import Repository
from trunkline.core.text import listed, shown

CATALOG_FILE = "catalog.json"
LOCK_FILE = ".catalog.lock"
_LARGEST = MIB


def read_catalog(models: Path, name: str) -> HeadCatalog | None:
    """What the file says; None where there is none. Raises ModelInvalidError where it is damaged."""
    file = _folder(models, name) / CATALOG_FILE
    try:
        text = read_regular(file, _LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelInvalidError(f"{file} cannot be read: {error.strerror}") from error
    return parse_catalog(text, file)


def parse_catalog(text: bytes, file: object) -> HeadCatalog:
    """The state that `file` holds. Raises ModelInvalidError where it is damaged."""
    try:
        return HeadCatalog.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise ModelInvalidError(
            f"{file}: {shown(where)}: {shown(fault['msg'])}; "
            "mend it, or remove it to make the highest version the default"
        ) from error


def current_catalog(models: Path, name: str) -> HeadCatalog:
    """The state of a head, with or without a file. Raises NotFoundError, ModelInvalidError."""
    versions = _versions(models, name)
    return read_catalog(models, name) or HeadCatalog(default=versions[-1])


def change_catalog(models: Path, name: str, change: Callable[[HeadCatalog], HeadCatalog]) -> HeadCatalog:
    """Put change(state) in place of the state, whole and alone; returns it. One writer at a time, in all processes.

    What `change` raises leaves the file as it was, and so does a change that changes nothing. Raises NotFoundError
    where there is no such head, ModelInvalidError where the file is damaged, StorageError where it cannot be
    written.
    """
    _versions(models, name)
    with locked(models, name):
        before = current_catalog(models, name)
        after = change(before)
        if after == before:
            return before
        after = after.model_copy(update={"revision": before.revision + 1})
        _write(models, name, after)
        return after


def pin_default(models: Path, name: str) -> None:
    """Keep the default what it is, whatever is added; call it before a version is moved into place."""
    if not Repository(models).versions("head", name):
        return
    with locked(models, name):
        if read_catalog(models, name) is None:
            _write(models, name, HeadCatalog(default=_versions(models, name)[-1]))


def note_published(models: Path, name: str, version: int) -> None:
    """After a version was moved into place: the first of its name becomes the default, a later one does not."""
    with locked(models, name):
        if read_catalog(models, name) is None:
            _write(models, name, first_catalog(_versions(models, name), version))


def first_catalog(versions: Sequence[int], published: int) -> HeadCatalog:
    """The state after a version was published, where there was none: what was there before stays the default."""
    earlier = [other for other in versions if other < published]
    return HeadCatalog(default=max(earlier, default=published))


def catalog_text(catalog: HeadCatalog) -> bytes:
    """What catalog.json holds."""
    return (catalog.model_dump_json(indent=2) + "\n").encode()


def _folder(models: Path, name: str) -> Path:
    return models / KIND_FOLDERS["head"] / name


def _versions(models: Path, name: str) -> list[int]:
    repository = Repository(models)
    versions = repository.versions("head", name)
    if not versions:
        known = listed(repository.names("head"))
        raise NotFoundError(f"there is no head {name!r} in {models}; known: {known}", name=name)
    return versions


@contextmanager
def locked(models: Path, name: str) -> Iterator[None]:
    """The lock of a head, held by one thread of one process. Its file stays, as removing it would let two in."""
    file = _folder(models, name) / LOCK_FILE
    try:
        number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _write(models: Path, name: str, catalog: HeadCatalog) -> None:
    write_catalog(models, name, catalog_text(catalog))


def write_catalog(models: Path, name: str, text: bytes) -> None:
    """Replace catalog.json whole; for who holds the lock. Raises StorageError."""
    folder, aside = _folder(models, name), None
    try:
        with tempfile.NamedTemporaryFile("wb", dir=folder, prefix=".catalog-", delete=False) as file:
            aside = Path(file.name)
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # a temporary file is its owner's alone; other services read this one
            os.fsync(file.fileno())
        aside.replace(folder / CATALOG_FILE)
        _sync(folder)
    except OSError as error:
        if aside is not None:
            aside.unlink(missing_ok=True)
        raise StorageError(f"{folder / CATALOG_FILE} cannot be written: {error.strerror}") from error


def _sync(folder: Path) -> None:
    """The rename itself on the disk, where the file system can do that for folders."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
