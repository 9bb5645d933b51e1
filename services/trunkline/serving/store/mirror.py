"""The folder in which a store is mirrored: each version whole and checked, or not there.

Several processes of a machine share it. Beside each version and catalog is the state that it has in the store.
"""

import fcntl
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.bundle import KIND_FOLDERS, MANIFEST_FILE, NAME_PATTERN, read_bundle
from trunkline.core.catalog import CATALOG_FILE, locked, write_catalog
from trunkline.core.errors import ModelInvalidError, StorageError
from trunkline.core.repository import Repository
from trunkline.core.staging import staging, sweep_staging
from trunkline.serving.store.remote import Entry, RemoteObjects, digest_of

STATE_FILE = ".store-state"
_CATALOG_STATE_FILE = ".catalog-state"
_LOCK_FILE, _PULLED_FILE = ".pull.lock", ".pulled"
_VERSION = re.compile(r"(\w+)/([^/]+)/([1-9][0-9]{0,17})/([^/.][^/]*)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """A version of a model; `path` is where it is, in the store and in the mirror."""

    kind: str
    name: str
    version: int

    @property
    def path(self) -> str:
        return f"{KIND_FOLDERS[self.kind]}/{self.name}/{self.version}"


Files = Mapping[str, Entry]  # the files of a version, by name


class Mirror:
    """Follows the objects of a store."""

    def __init__(self, root: Path, objects: RemoteObjects) -> None:
        self.root = root
        self._objects = objects
        self._broken: dict[Key, str] = {}
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{root} cannot be written: {error.strerror}; set TRUNKLINE_MODELS_CACHE") from error

    def pull(self, max_age_s: float = 0.0) -> None:
        """Make the folder what the store is, unless somebody did within `max_age_s`. Raises StorageError.

        A listing without any model changes nothing: a wrong name is no wish to serve nothing. A version that is
        damaged is left out until it changes.
        """
        with self._alone():
            if time.time() - _modified(self.root / _PULLED_FILE) < max_age_s:
                return
            try:
                self._follow(self._objects.list())
                (self.root / _PULLED_FILE).touch()
            except OSError as error:
                raise StorageError(f"{self.root} cannot be written: {error.strerror}") from error

    def has_models(self) -> bool:
        """Whether an earlier pull has brought any."""
        return bool(self._here())

    def adopt(self, folder: Path, key: Key, files: Files) -> Path:
        """Take a folder that was just uploaded, instead of downloading it. Returns where it is."""
        with self._alone():
            target = self.root / key.path
            if self._state(key) != digest_of(files):
                (folder / STATE_FILE).write_text(digest_of(files))
                with staging(self.root) as aside:
                    self._put(folder, key, aside)
            return target

    def _follow(self, listing: Mapping[str, Entry]) -> None:
        wanted = versions_in(listing)
        here = self._here()
        if not wanted and here:
            raise StorageError(f"{self._objects.url} has no models: the previous ones are kept")
        new = {key: files for key, files in wanted.items() if self._state(key) != digest_of(files)}
        gone = here - set(wanted)
        if not (new or gone):
            self._follow_catalogs(listing, here)
            return
        sweep_staging(self.root)
        with staging(self.root) as aside:
            fetched = [key for key, files in new.items() if self._fetch(key, files, aside)]
            # Before a new version can be seen: the catalog says that it is not the default.
            self._follow_catalogs(listing, here | set(fetched))
            for key in fetched:
                self._put(_aside(aside, key), key, aside)
                _log.info("%s/%d came from %s", key.name, key.version, self._objects.url)
            for key in gone:
                (self.root / key.path).rename(_aside(aside, key))
                _log.info("%s/%d was removed from %s", key.name, key.version, self._objects.url)

    def _fetch(self, key: Key, files: Files, aside: Path) -> bool:
        """Download a version and check it; False where it is damaged."""
        state = digest_of(files)
        if self._broken.get(key) == state:
            return False
        folder = _aside(aside, key)
        folder.mkdir()
        for name in files:
            self._objects.download(f"{key.path}/{name}", folder / name)
        try:
            _check(folder, key)
        except ModelInvalidError as error:
            self._broken[key] = state
            _log.error("%s in %s is left out: %s", key.path, self._objects.url, error)
            return False
        self._broken.pop(key, None)
        # When it was published, which is what its age is told by.
        if files[MANIFEST_FILE].modified:
            os.utime(folder / MANIFEST_FILE, (time.time(), files[MANIFEST_FILE].modified))
        (folder / STATE_FILE).write_text(state)
        return True

    def _put(self, folder: Path, key: Key, aside: Path) -> None:
        target = self.root / key.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(aside / f"{_aside(aside, key).name}.old")
        folder.rename(target)

    def _follow_catalogs(self, listing: Mapping[str, Entry], keys: Iterable[Key]) -> None:
        for name in {key.name for key in keys if key.kind == "head"}:
            listed = listing.get(f"{KIND_FOLDERS['head']}/{name}/{CATALOG_FILE}")
            known = _text(self.root / KIND_FOLDERS["head"] / name / _CATALOG_STATE_FILE)
            if known != (listed.state if listed is not None else ""):
                self.refresh_catalog(name)

    def refresh_catalog(self, name: str) -> None:
        """Bring the catalog of a head up to date. Raises StorageError."""
        (self.root / KIND_FOLDERS["head"] / name).mkdir(parents=True, exist_ok=True)
        with locked(self.root, name):
            self.read_catalog(name)

    def read_catalog(self, name: str) -> tuple[bytes | None, str]:
        """As refresh_catalog, for who holds the lock of the head. Returns it as it is, and its state."""
        path = f"{KIND_FOLDERS['head']}/{name}/{CATALOG_FILE}"
        state = self._objects.state(path)  # before the content, so that it is never newer than that
        text = self._objects.read(path) if state else None
        folder = self.root / KIND_FOLDERS["head"] / name
        if text is None:
            (folder / CATALOG_FILE).unlink(missing_ok=True)
        else:
            write_catalog(self.root, name, text)
        (folder / _CATALOG_STATE_FILE).write_text(state)
        return text, state

    def _state(self, key: Key) -> str:
        return _text(self.root / key.path / STATE_FILE)

    def _here(self) -> set[Key]:
        repository = Repository(self.root)
        return {
            Key(kind, name, version)
            for kind in KIND_FOLDERS
            for name in repository.names(kind)
            for version in repository.versions(kind, name)
        }

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time follows, of all processes that share the folder."""
        try:
            number = os.open(self.root / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StorageError(f"{self.root} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)


def versions_in(listing: Mapping[str, Entry]) -> dict[Key, dict[str, Entry]]:
    """The files of each version that is whole: its manifest is written last."""
    kinds = {folder: kind for kind, folder in KIND_FOLDERS.items()}
    found: dict[Key, dict[str, Entry]] = {}
    for path, entry in listing.items():
        match = _VERSION.fullmatch(path)
        if match and match[1] in kinds and re.fullmatch(NAME_PATTERN, match[2]):
            key = Key(kinds[match[1]], match[2], int(match[3]))
            found.setdefault(key, {})[match[4]] = entry
    return {key: files for key, files in found.items() if MANIFEST_FILE in files}


def _check(folder: Path, key: Key) -> None:
    """Raises ModelInvalidError where a download is not the version that it should be, or is damaged."""
    bundle = read_bundle(folder)
    manifest = bundle.manifest
    if (manifest.kind, manifest.name, manifest.version) != (key.kind, key.name, key.version):
        raise ModelInvalidError(f"its manifest is of {manifest.kind} {manifest.name} version {manifest.version}")
    bundle.read_model()


def _aside(folder: Path, key: Key) -> Path:
    return folder / f"{key.kind}-{key.name}-{key.version}"


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
