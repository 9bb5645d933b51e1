"""The versions that a process holds: loads what the catalog names, drops what nobody can ask for any more."""

import errno
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from trunkline.core.bundle import GOLDEN_FILE, KIND_FOLDERS, LABELS_FILE, MANIFEST_FILE, MODEL_FILE, BackboneRef
from trunkline.core.catalog import read_catalog
from trunkline.core.errors import ModelInvalidError, TermsError, TrunklineError, WrongTaskError
from trunkline.core.exchange import HeadInfo
from trunkline.core.models import HeadCatalog
from trunkline.core.needed import Signature, signature
from trunkline.core.repository import Repository
from trunkline.core.variants import VARIANT_PREFIX
from trunkline.heads.loading import FaultyHead, LoadedHead, Need, load_head
from trunkline.heads.routing import route, versions_of
from trunkline.serving.execution import CPU, Execution
from trunkline.serving.reads import Reads

# A head whose files do not answer is left to its thread for this long before the next one is looked at, and for so
# long before the look is over without it. Loading takes its time too.
_PATIENCE_S, _LOOK_S = 1.0, 10.0
_START_S = 30.0  # the same for the first look, after which a process listens
_TOLD_AT_S = (10, 60, 600, 3600, 24 * 3600)  # the warning changes at these, and with it the log
_ALL = ""  # the key of listing the folder; no head has it as its name
_log = logging.getLogger(__name__)
Key = tuple[str, int]  # name and version of a head
_BROKEN_NAMES = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_Signature = tuple[Signature, ...]


@dataclass(frozen=True)
class Choice:
    """Which heads a process serves: of these names (all where empty), of one task (any for None).

    And how it runs them. `need` has the backbone of each, where backbones are in this process too. commercial:
    whether only those that may be used commercially.
    """

    names: Sequence[str] = ()
    task: str | None = None
    need: Need | None = None
    execution: Execution = CPU
    commercial: bool = False


@dataclass(frozen=True)
class _Held:
    """A version in memory, the state of its files and of its backbone's manifest then, and since when no route leads
    to it (monotonic seconds).
    """

    head: LoadedHead | FaultyHead
    files: _Signature
    backbone: Signature = None
    left_at: float | None = None


@dataclass(frozen=True)
class _State:
    heads: Mapping[str, HeadInfo]
    held: Mapping[Key, _Held]


class LoadedVersions:
    """Heads and their versions; replaced as a whole at each refresh, so readers need no lock."""

    def __init__(self, repository: Repository, choice: Choice, grace_s: float) -> None:
        """`grace_s`: how long a version stays after the last route to it is gone, seconds."""
        self._repository = repository
        self._choice = choice
        self._grace_s = grace_s
        self._state = _State({}, {})
        self._known: Sequence[str] = ()  # heads that were there at the last look
        self._looking = threading.Lock()
        self._listing: Reads[list[str]] = Reads(repository.root)
        self._reads: Reads[_Found] = Reads(repository.root, keep=True)

    @property
    def heads(self) -> Mapping[str, HeadInfo]:
        """The default version of each head with its routes, in order of name."""
        return self._state.heads

    def find(self, name: str, version: int) -> LoadedHead | FaultyHead | None:
        held = self._state.held.get((name, version))
        return held.head if held is not None else None

    def backbones(self) -> set[BackboneRef]:
        """Those that the versions in memory need."""
        return {held.head.backbone for held in self._state.held.values() if isinstance(held.head, LoadedHead)}

    def late(self) -> dict[str, float]:
        """Heads whose files are being read, and for how long, seconds."""
        return {name: late_s for name in self._known if (late_s := self._reads.since_s(name))}

    def refresh(self, also: Collection[Key] = (), *, first: bool = False) -> None:
        """Follow catalog and folders; `also` are versions that somebody asked for. Takes the time of loading.

        A head whose files do not answer stays as it is, with a warning, and is not asked again until they did; the
        others are followed on. Raises OSError where the model folder cannot be looked through, and what else a look
        at a head raises; everything, or that head, then stays as it is.
        """
        with self._looking:
            self._known = self._listing.take(_ALL, self._names, _LOOK_S)
            wanted = {name: [version for other, version in also if other == name] for name in self._known}
            begun = [name for name in self._known if not self._reads.since_s(name)]
            self._take(wanted, self._known, lambda name: _PATIENCE_S if name in begun else 0.0)
            late = [name for name in begun if self._reads.since_s(name)]
            if late:
                within_s = _START_S if first else _LOOK_S
                self._take(wanted, late, lambda name: max(0.0, within_s - self._reads.since_s(name)))

    def _take(
        self, wanted: Mapping[str, Sequence[int]], names: Sequence[str], patience_s: Callable[[str], float]
    ) -> None:
        found, failed = {}, []
        for name in names:
            try:
                found[name] = self._reads.take(name, partial(self._follow, name, wanted[name]), patience_s(name))
            except TimeoutError:
                continue
            except Exception as error:
                failed.append(error)
        self._put(found)
        if failed:
            raise failed[0]

    def _follow(self, name: str, also: Sequence[int]) -> "_Found":
        look = _Refresh(self._repository, self._choice, self._state)
        info = look.follow(name)
        for version in also:
            look.load(name, version)
        return _Found(info, {key: held for key, held in look.held.items() if key[0] == name})

    def _put(self, found: Mapping[str, "_Found"]) -> None:
        """Replace the state: heads that were looked at, those that are late, and none of those that are gone."""
        before = self._state
        heads = {name: info for name in self._known if (info := self._info(name, found, before)) is not None}
        held = dict(before.held)
        for look in found.values():
            held.update(look.held)
        routed = {(name, version) for name, info in heads.items() for version in versions_of(info)}
        # Only now, as loading may have taken long: callers that were sent to a version before can still come.
        now = time.monotonic()
        kept = {}
        for key, each in held.items():
            left_at = None if key in routed else each.left_at or now
            if left_at is None or now - left_at <= self._grace_s:
                kept[key] = replace(each, left_at=left_at)
        self._state = _State(heads, kept)
        _log_changes(before.heads, heads)

    def _info(self, name: str, found: Mapping[str, "_Found"], before: _State) -> HeadInfo | None:
        if name in found:
            return found[name].info
        last, warning = before.heads.get(name), _late_warning(self._reads.since_s(name))
        if last is not None and warning:
            return replace(last, routes=replace(last.routes, warning=warning))
        return last

    def _names(self) -> list[str]:
        names = self._repository.folders("head")
        if not names and self._state.heads and not (self._repository.root / KIND_FOLDERS["head"]).is_dir():
            # A file system that is away is no wish to serve nothing.
            raise FileNotFoundError(f"{self._repository.root / KIND_FOLDERS['head']} is gone")
        return [name for name in names if name in (self._choice.names or (name,))]


@dataclass(frozen=True)
class _Found:
    """What a look at one head has found: the head as it is served, None where it is not, and what is held of it."""

    info: HeadInfo | None
    held: Mapping[Key, _Held]


def _late_warning(late_s: float) -> str:
    passed = [limit_s for limit_s in _TOLD_AT_S if limit_s <= late_s]
    return f"its files have not answered for more than {passed[-1]} s; what was read before goes on" if passed else ""


class _Refresh:
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
        if before is not None and before.files == files and not self._has_changed(before):
            self.held[name, version] = replace(before, left_at=None)
            return before.head
        head, backbone = self._read(name, version)
        if before is not None and isinstance(before.head, LoadedHead) and _is_broken(head):
            head = before.head
        self.held[name, version] = _Held(head, files, backbone)
        return head

    def _has_changed(self, held: _Held) -> bool:
        """Whether a head that could not be had may be now, as its backbone was missing or damaged."""
        if self._choice.need is None or not isinstance(held.head, FaultyHead) or held.head.info is None:
            return False
        return self._backbone(held.head.info.backbone) != held.backbone

    def _backbone(self, label: str) -> Signature:
        return signature(self._repository.root / KIND_FOLDERS["backbone"] / label / MANIFEST_FILE)

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

    def _read(self, name: str, version: int) -> tuple[LoadedHead | FaultyHead, Signature]:
        """And the state of its backbone's manifest before."""
        try:
            bundle = self._repository.head(name, version)
        except TrunklineError as error:
            _log.error("head %s/%d is left out: %s", name, version, error)
            return FaultyHead(None, error), None
        task = bundle.manifest.task
        if self._choice.task not in (None, task):
            other = WrongTaskError(f"head {name!r} does {task}, which is not served here", task=task)
            return FaultyHead(None, other), None
        backbone = self._backbone(bundle.manifest.backbone.label)
        choice = self._choice
        return load_head(bundle, choice.need, choice.execution, commercial=choice.commercial), backbone


def _is_broken(head: LoadedHead | FaultyHead) -> bool:
    """Whether it may be replaced by what was there before; terms that changed are no fault of the files."""
    return isinstance(head, FaultyHead) and not isinstance(head.error, TermsError)


def _signature(folder: Path) -> _Signature:
    """Changes whenever a file of the bundle does: (inode, mtime in ns, size) of each, None where it is missing."""
    found: list[tuple[int, int, int] | None] = []
    for name in (MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE, LABELS_FILE, *_files_of_variants(folder)):
        try:
            stat = (folder / name).stat()
        except OSError as error:
            if error.errno not in _BROKEN_NAMES:
                raise
            found.append(None)  # whoever reads it says what is wrong
        else:
            found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _files_of_variants(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.name.startswith(VARIANT_PREFIX))
    except OSError as error:
        if error.errno not in _BROKEN_NAMES:
            raise
        return []


def _log_changes(before: Mapping[str, HeadInfo], after: Mapping[str, HeadInfo]) -> None:
    for name in sorted(set(before) - set(after)):
        _log.info("head %s is gone", name)
    for name, info in after.items():
        last = before.get(name)
        if not info.barred and (last is None or last.version != info.version):
            _log.info("head %s: version %s answers", name, info.version)
        warning = info.fault or info.routes.warning
        if warning and (last is None or warning != (last.fault or last.routes.warning)):
            _log.log(logging.INFO if info.barred else logging.ERROR, "head %s: %s", name, warning)
