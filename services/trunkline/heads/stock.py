"""The versions that a process holds: loads what the catalog names, drops what nobody can ask for any more."""

import errno
import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trunkline.core.bundle import GOLDEN_FILE, KIND_FOLDERS, LABELS_FILE, MANIFEST_FILE, MODEL_FILE
from trunkline.core.catalog import read_catalog
from trunkline.core.errors import ModelInvalidError, TrunklineError, WrongTaskError
from trunkline.core.exchange import HeadInfo
from trunkline.core.models import HeadCatalog
from trunkline.core.repository import Repository
from trunkline.heads.loading import FaultyHead, LoadedHead, load_head
from trunkline.heads.routing import route, versions_of
from trunkline.serving.execution import CPU, Execution

_log = logging.getLogger(__name__)
Key = tuple[str, int]  # name and version of a head
_BROKEN_NAMES = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_Signature = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True)
class Choice:
    """Which heads a process serves: of these names (all where empty), of one task (any for None), of one backbone.

    And how it runs them.
    """

    names: Sequence[str] = ()
    task: str | None = None
    backbone_digest: str | None = None
    execution: Execution = CPU


@dataclass(frozen=True)
class _Held:
    """A version in memory, the state of its files then, and since when no route leads to it (monotonic seconds)."""

    head: LoadedHead | FaultyHead
    files: _Signature
    left_at: float | None = None


@dataclass(frozen=True)
class _State:
    heads: Mapping[str, HeadInfo]
    held: Mapping[Key, _Held]


class Stock:
    """Heads and their versions; replaced as a whole at each refresh, so readers need no lock."""

    def __init__(self, repository: Repository, choice: Choice, grace_s: float) -> None:
        """`grace_s`: how long a version stays after the last route to it is gone, seconds."""
        self._repository = repository
        self._choice = choice
        self._grace_s = grace_s
        self._state = _State({}, {})
        self._looking = threading.Lock()

    @property
    def heads(self) -> Mapping[str, HeadInfo]:
        """The default version of each head with its routes, in order of name."""
        return self._state.heads

    def find(self, name: str, version: int) -> LoadedHead | FaultyHead | None:
        held = self._state.held.get((name, version))
        return held.head if held is not None else None

    def refresh(self, also: Collection[Key] = ()) -> None:
        """Follow catalog and folders; `also` are versions that somebody asked for. Takes the time of loading.

        Raises OSError where the model folder cannot be looked through; everything then stays as it is.
        """
        with self._looking:
            self._look(also)

    def _look(self, also: Collection[Key]) -> None:
        before = self._state
        look = _Look(self._repository, self._choice, before)
        heads = {name: info for name in self._names() if (info := look.follow(name)) is not None}
        for name, version in also:
            look.load(name, version)
        routed = {(name, version) for name, info in heads.items() for version in versions_of(info)}
        # Only now, as loading may have taken long: callers that were sent to a version before can still come.
        now = time.monotonic()
        held = {}
        for key, each in look.held.items():
            left_at = None if key in routed else each.left_at or now
            if left_at is None or now - left_at <= self._grace_s:
                held[key] = replace(each, left_at=left_at)
        self._state = _State(heads, held)
        _log_changes(before.heads, heads)

    def _names(self) -> list[str]:
        folder = self._repository.root / KIND_FOLDERS["head"]
        if not folder.is_dir() and self._state.heads:
            raise FileNotFoundError(f"{folder} is gone")  # a file system that is away is no wish to serve nothing
        return [name for name in self._repository.names("head") if name in (self._choice.names or (name,))]


class _Look:
    """One look at the model folder, with what was held before and is held now."""

    def __init__(self, repository: Repository, choice: Choice, before: _State) -> None:
        self._repository = repository
        self._choice = choice
        self._before = before
        self.held = dict(before.held)

    def follow(self, name: str) -> HeadInfo | None:
        """The head as it is served from now on; None where it is gone or not ours."""
        last = self._before.heads.get(name)
        try:
            there = self._repository.versions("head", name)
            if not there:
                return None
            try:
                catalog = read_catalog(self._repository.root, name) or HeadCatalog(default=there[-1])
            except ModelInvalidError as error:
                return self._last(last, error.message) if last is not None else self._faulty(name, there[-1], error)
            return self._route(name, catalog, there, last)
        except OSError as error:
            return self._last(last, f"its folder cannot be read: {error.strerror}")

    def load(self, name: str, version: int) -> LoadedHead | FaultyHead | None:
        """Have a version in `held`; one that is there stays unless its files changed and the new ones are good."""
        if version not in self._repository.versions("head", name):
            return None
        files = _signature(self._repository.root / KIND_FOLDERS["head"] / name / str(version))
        before = self.held.get((name, version))
        if before is not None and before.files == files:
            self.held[name, version] = replace(before, left_at=None)
            return before.head
        head = self._read(name, version)
        if before is not None and isinstance(before.head, LoadedHead) and isinstance(head, FaultyHead):
            head = before.head
        self.held[name, version] = _Held(head, files)
        return head

    def _route(self, name: str, catalog: HeadCatalog, there: list[int], last: HeadInfo | None) -> HeadInfo | None:
        loaded = {version: self.load(name, version) for version in catalog.in_use if version in there}
        default = loaded.get(catalog.default)
        if isinstance(default, FaultyHead) and isinstance(default.error, WrongTaskError):
            return None
        return route(catalog, loaded.get, last, lambda version: self._kept(name, version))

    def _kept(self, name: str, version: int) -> LoadedHead | FaultyHead | None:
        held = self.held.get((name, version))
        return held.head if held is not None else None

    def _last(self, last: HeadInfo | None, warning: str) -> HeadInfo | None:
        return replace(last, routes=replace(last.routes, warning=warning)) if last is not None else None

    def _faulty(self, name: str, newest: int, error: ModelInvalidError) -> HeadInfo | None:
        """A catalog that was damaged from the start: nobody knows which version may answer."""
        found = self.load(name, newest)
        if found is None or found.info is None:
            _log.error("head %s is left out: %s", name, error)
            return None
        info = replace(found.info, fault=error.message)
        self.held[name, newest] = _Held(FaultyHead(info, error), files=())
        return info

    def _read(self, name: str, version: int) -> LoadedHead | FaultyHead:
        try:
            bundle = self._repository.head(name, version)
        except TrunklineError as error:
            _log.error("head %s/%d is left out: %s", name, version, error)
            return FaultyHead(None, error)
        task = bundle.manifest.task
        if self._choice.task not in (None, task):
            return FaultyHead(None, WrongTaskError(f"head {name!r} does {task}, which is not served here", task=task))
        return load_head(bundle, self._choice.backbone_digest, self._choice.execution)


def _signature(folder: Path) -> _Signature:
    """Changes whenever a file of the bundle does: (inode, mtime in ns, size) of each, None where it is missing."""
    found: list[tuple[int, int, int] | None] = []
    for name in (MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE, LABELS_FILE):
        try:
            stat = (folder / name).stat()
        except OSError as error:
            if error.errno not in _BROKEN_NAMES:
                raise
            found.append(None)  # whoever reads it says what is wrong
        else:
            found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _log_changes(before: Mapping[str, HeadInfo], after: Mapping[str, HeadInfo]) -> None:
    for name in sorted(set(before) - set(after)):
        _log.info("head %s is gone", name)
    for name, info in after.items():
        last = before.get(name)
        if last is None or last.version != info.version:
            _log.info("head %s: version %s answers", name, info.version)
        warning = info.fault or info.routes.warning
        if warning and (last is None or warning != (last.fault or last.routes.warning)):
            _log.error("head %s: %s", name, warning)
