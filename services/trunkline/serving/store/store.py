"""A model repository in an object store: read from a mirror, changed in the store first.

In the store it looks as in a folder, with a claim beside the files of a version that was published from here.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.bundle import KIND_FOLDERS, MANIFEST_FILE
from trunkline.core.catalog import CATALOG_FILE, catalog_text, first_catalog, locked, parse_catalog, pin_default
from trunkline.core.errors import NotFoundError, StorageError
from trunkline.core.models import HeadCatalog
from trunkline.core.publishing import Built, Manifest, renumber, version_exists
from trunkline.core.repository import Repository
from trunkline.core.store import ChangeState
from trunkline.core.text import listed
from trunkline.serving.store.mirror import STATE_FILE, Key, Mirror, versions_in
from trunkline.serving.store.remote import Entry, RemoteObjects

CLAIM_FILE = ".claim"
_ATTEMPTS = 20


@dataclass(frozen=True)
class _Claimed:
    """A built folder with the version that is ours in the store."""

    folder: Path
    manifest: Manifest
    key: Key

    @property
    def files(self) -> list[Path]:
        """All but the manifest, without which nobody sees them."""
        return [path for path in sorted(self.folder.iterdir()) if path.name not in (MANIFEST_FILE, STATE_FILE)]


class RemoteStore:
    """Models at a URL. The mirror is up to date as of the last pull."""

    def __init__(self, url: str, mirror: Path) -> None:
        """Raises ConfigurationError for a URL that cannot be used, StorageError where `mirror` cannot be written."""
        self._url = url
        self._objects = RemoteObjects(url)
        self._mirror = Mirror(mirror, self._objects)

    @property
    def root(self) -> Path:
        return self._mirror.root

    @property
    def where(self) -> str:
        return self._url

    def pull(self, max_age_s: float = 0.0) -> None:
        """Raises StorageError; the mirror then stays as it was, or is ahead of that."""
        self._mirror.pull(max_age_s)

    def has_models(self) -> bool:
        """Whether an earlier pull has brought any."""
        return self._mirror.has_models()

    def publish(self, bundles: Sequence[Built]) -> list[Path]:
        """Upload built folders as versions, each manifest last, so that a half-uploaded version is never seen.

        A number is claimed before a file is written; a head whose number is taken gets the next one, a backbone is
        refused. What fails takes back what it wrote, but not the claims: a number is never used twice. Raises
        InvalidRequestError where the version of a backbone is taken, ModelInvalidError, StorageError.
        """
        claimed = [self._claim(folder, manifest) for folder, manifest in bundles]
        heads = [each for each in claimed if each.key.kind == "head"]
        try:
            for each in claimed:
                for file in each.files:
                    self._objects.upload(file, f"{each.key.path}/{file.name}")
            for head in heads:
                self._pin_default(head.key.name)  # before, as services may look at any time
            for each in claimed:
                self._show(each)
        except BaseException:
            for each in reversed(claimed):
                self._take_back(each)
            raise
        with suppress(StorageError):  # published is published; the next pull brings what is missing here
            for head in heads:
                self._note_published(head.key)
        return [self._adopt(each) for each in claimed]

    def change_catalog(self, name: str, change: ChangeState) -> HeadCatalog:
        """As core.catalog.change_catalog. A change that another machine made in between is not lost on S3."""
        self.pull()
        self._versions(name)
        with locked(self.root, name):
            for _ in range(_ATTEMPTS):
                text, state = self._mirror.read_catalog(name)
                before = self._parsed(name, text) or HeadCatalog(default=self._versions(name)[-1])
                after = change(before)
                if after == before:
                    return before
                after = after.model_copy(update={"revision": before.revision + 1})
                if self._write_catalog(name, after, state):
                    self._mirror.read_catalog(name)
                    return after
        raise StorageError(f"the catalog of head {name!r} keeps being changed by others: try again")

    def _claim(self, folder: Path, manifest: Manifest) -> _Claimed:
        token = secrets.token_bytes(16)
        version = manifest.version
        if manifest.kind == "head":
            version = self._highest(manifest.name) + 1
        for _ in range(_ATTEMPTS):
            key = Key(manifest.kind, manifest.name, version)
            free = not self._objects.state(f"{key.path}/{MANIFEST_FILE}")
            if free and self._objects.create(f"{key.path}/{CLAIM_FILE}", token):
                if version != manifest.version:
                    manifest = renumber(folder, manifest, version)
                return _Claimed(folder, manifest, key)
            if manifest.kind != "head":
                raise version_exists(manifest.kind, manifest.name, version)
            version = max(version, self._highest(manifest.name)) + 1
        raise StorageError(f"others keep publishing versions of {manifest.name!r}: try again")

    def _highest(self, name: str) -> int:
        """The highest number that is taken in the store, by a version or a claim."""
        start = f"{KIND_FOLDERS['head']}/{name}/"
        taken = [path.removeprefix(start).split("/") for path in self._objects.list() if path.startswith(start)]
        return max((int(parts[0]) for parts in taken if len(parts) > 1 and parts[0].isdecimal()), default=0)

    def _show(self, claimed: _Claimed) -> None:
        manifest = (claimed.folder / MANIFEST_FILE).read_bytes()
        if not self._objects.create(f"{claimed.key.path}/{MANIFEST_FILE}", manifest):
            raise StorageError(f"{claimed.key.path} in {self._objects.url} was written by somebody else")

    def _take_back(self, claimed: _Claimed) -> None:
        with suppress(StorageError):  # a store that is away keeps files that nobody sees
            for name in (MANIFEST_FILE, *(file.name for file in claimed.files)):
                self._objects.remove(f"{claimed.key.path}/{name}")

    def _adopt(self, claimed: _Claimed) -> Path:
        """What was uploaded, into the mirror; where the store is away by now, the next pull makes it right."""
        files: dict[str, Entry] = {}
        try:
            if claimed.key.kind == "head":
                self._mirror.refresh_catalog(claimed.key.name)
            files = versions_in(self._objects.list()).get(claimed.key, {})
        except StorageError:
            pin_default(self.root, claimed.key.name)
        return self._mirror.adopt(claimed.folder, claimed.key, files)

    def _pin_default(self, name: str) -> None:
        """Keep the default what it is, whatever is added."""
        there = self._listed(name)
        if there:
            self._create_catalog(name, HeadCatalog(default=there[-1]))

    def _note_published(self, key: Key) -> None:
        self._create_catalog(key.name, first_catalog(self._listed(key.name), key.version))

    def _create_catalog(self, name: str, catalog: HeadCatalog) -> None:
        """The first catalog of a head; one that is there stays."""
        if not self._objects.state(_catalog_path(name)):
            self._write_catalog(name, catalog, "")

    def _write_catalog(self, name: str, catalog: HeadCatalog, state: str) -> bool:
        path, text = _catalog_path(name), catalog_text(catalog)
        return self._objects.replace(path, text, state) if state else self._objects.create(path, text)

    def _listed(self, name: str) -> list[int]:
        keys = versions_in(self._objects.list())
        return sorted(key.version for key in keys if (key.kind, key.name) == ("head", name))

    def _versions(self, name: str) -> list[int]:
        versions = Repository(self.root).versions("head", name)
        if not versions:
            known = listed(Repository(self.root).names("head"))
            raise NotFoundError(f"there is no head {name!r} in {self._objects.url}; known: {known}", name=name)
        return versions

    def _parsed(self, name: str, text: bytes | None) -> HeadCatalog | None:
        return None if text is None else parse_catalog(text, f"{self._objects.url}/{_catalog_path(name)}")


def _catalog_path(name: str) -> str:
    return f"{KIND_FOLDERS['head']}/{name}/{CATALOG_FILE}"
