"""The backbones that a process holds: each loaded once, when a head needs it, and dropped when none does any more."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trunkline.backbone.engine import BackboneEngine
from trunkline.backbone.named import Named, is_kept
from trunkline.core.bundle import KIND_FOLDERS, MANIFEST_FILE, BackboneManifest, BackboneRef, Bundle
from trunkline.core.errors import (
    BackboneMismatchError,
    ConfigurationError,
    ModelInvalidError,
    NotFoundError,
    TrunklineError,
)
from trunkline.core.exchange import BackboneInfo, FeatureRequest, Features
from trunkline.core.needed import Signature, signature
from trunkline.core.repository import Repository
from trunkline.serving.memory import give_back_freed
from trunkline.serving.reads import Reads, in_thread

Load = Callable[[Bundle[BackboneManifest]], BackboneEngine]
_LOOK_S = 10.0  # so long a look is waited for; it goes on beside
_SHOWN = 64  # characters of a digest that came
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    """`left_at`: since when nobody needs it (monotonic seconds)."""

    engine: BackboneEngine
    left_at: float | None = None


class LoadedBackbones:
    """The FeatureSource of a process with models: asks the backbone that a request means."""

    def __init__(self, repository: Repository, names: Sequence[Named], load: Load, grace_s: float) -> None:
        """`names` are served whatever is needed, and nothing else; all that is needed where there are none.

        `grace_s`: how long a backbone stays after the last head that needs it is gone, seconds.
        """
        self._repository = repository
        self._names = names
        self._load = load
        self._grace_s = grace_s
        self._loaded: Mapping[str, _Loaded] = {}  # by digest; replaced whole, so readers need no lock
        self._changing = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._damaged: dict[BackboneRef, tuple[Signature, str]] = {}  # and what is wrong
        self._told: dict[str, str] = {}
        self._looks: Reads[None] = Reads(repository.root)
        self._needed: Callable[[], Collection[BackboneRef]] = set
        self._missing = asyncio.Lock()  # those who miss a backbone wait for one look, not each for its own

    # What is loaded -----------------------------------------------------------------------------------------

    def follow(self, needed: Callable[[], Collection[BackboneRef]]) -> None:
        """From now on these are needed, asked anew at each look."""
        self._needed = needed

    def need(self, head: str, ref: BackboneRef) -> None:
        """Have the backbone that a head needs. Takes the time of loading; from any thread.

        Raises BackboneMismatchError where it is not there or not to be served, ModelInvalidError where it is damaged,
        ConfigurationError where a provider cannot be had.
        """
        with self._changing:
            one = self._loading.setdefault(ref.digest, threading.Lock())
        with one:  # for each its own: one whose files do not answer holds up no other
            if ref.digest in self._loaded:
                return
            if self._names and not any(named.has(ref.name, ref.version) for named in self._names):
                raise self._unserved(head, ref.label, ref.digest)
            files = signature(self._repository.root / KIND_FOLDERS["backbone"] / ref.label / MANIFEST_FILE)
            damaged = self._damaged.get(ref)
            if damaged is not None and damaged[0] == files:
                raise ModelInvalidError(damaged[1])
            try:
                self._put(self._bundle(head, ref))
            except ModelInvalidError as error:
                self._damaged[ref] = files, error.message
                raise

    def start(self) -> None:
        """The first look. After it what the names ask for is there, or the newest of each where nothing is needed.

        Raises NotFoundError for a name that does not exist or where there is no backbone at all, ModelInvalidError
        where a named one is damaged, or where one that is needed is and no other can be had.
        """
        self._look()
        if self._damaged and not self._loaded:
            raise ModelInvalidError(next(iter(self._damaged.values()))[1])
        for named in self._names:
            if not any(named.has(info.name, int(info.version)) for info in self.infos()):
                self._put(self._repository.backbone(named.name, named.version))
        if not self._names and not self._loaded and not self._needed():
            names = self._repository.names("backbone")
            if not names:
                raise NotFoundError(f"there is no backbone in {self._repository.root}: is that the model folder?")
            for name in names:
                self._put(self._repository.backbone(name))

    async def refresh(self) -> None:
        """Load what is needed now, and drop what has not been for the grace, beside the event loop.

        Whatever goes wrong, what is loaded stays, and the log says so.
        """
        try:
            await in_thread(lambda: self._looks.take("", self._look, _LOOK_S))
        except Exception as error:
            self._tell("", error)
        else:
            self._told.pop("", None)

    def _look(self) -> None:
        needed = self._needed()
        for ref in needed:
            try:
                self.need("", ref)
            except ConfigurationError:
                raise
            except TrunklineError as error:
                self._tell(ref.label, error)
        if self._drop({ref.digest for ref in needed}):
            give_back_freed()

    def _tell(self, about: str, error: Exception) -> None:
        """In the log, once for each that is new."""
        text = f"{type(error).__name__}: {error}"
        if self._told.get(about) == text:
            return
        self._told[about] = text
        if about:
            _log.error("backbone %s is not served: %s", about, error)
        else:
            known = isinstance(error, OSError | TrunklineError)
            _log.error("backbones cannot be updated; the loaded ones keep serving: %s", error, exc_info=not known)

    # What is asked ------------------------------------------------------------------------------------------

    async def describe(self) -> list[BackboneInfo]:
        """In order of name and version."""
        return sorted(self.infos(), key=lambda info: (info.name, int(info.version)))

    def extract(self, request: FeatureRequest, timeout_s: float | None) -> Coroutine[Any, Any, Features]:
        engine = self._find(request.backbone_digest)
        return self._look_for(request, timeout_s) if engine is None else engine.extract(request, timeout_s)

    async def _look_for(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        # Another replica may have seen a change of the catalog before this one, and told the gateway.
        async with self._missing:
            if self._find(request.backbone_digest) is None:
                await self.refresh()
        engine = self._find(request.backbone_digest)
        if engine is None:
            raise self._unserved("", "", request.backbone_digest[:_SHOWN])
        return await engine.extract(request, timeout_s)

    def infos(self) -> list[BackboneInfo]:
        """In the order in which they were loaded."""
        return [entry.engine.info for entry in self._loaded.values()]

    def _find(self, digest: str) -> BackboneEngine | None:
        found = self._loaded.get(digest) if digest else next(iter(self._loaded.values()), None)
        return found.engine if found is not None else None

    def _bundle(self, head: str, ref: BackboneRef) -> Bundle[BackboneManifest]:
        try:
            bundle = self._repository.backbone(ref.name, ref.version)
        except NotFoundError as error:
            raise self._unserved(head, ref.label, ref.digest) from error
        if bundle.manifest.digest != ref.digest:
            raise self._unserved(head, ref.label, ref.digest)
        return bundle

    def _put(self, bundle: Bundle[BackboneManifest]) -> None:
        engine = self._load(bundle)
        with self._changing:
            self._loaded = {**self._loaded, bundle.manifest.digest: _Loaded(engine)}
        _log.info("backbone %s is served", engine.info.label)

    def _drop(self, needed: Collection[str]) -> bool:
        """Whether any was dropped."""
        if not needed:  # more likely the heads are away than that nobody wants any
            return False
        now = time.monotonic()
        with self._changing:
            kept = {}
            for digest, entry in self._loaded.items():
                stays = digest in needed or is_kept(entry.engine.info, self._names, self.infos(), needed)
                left_at = None if stays else entry.left_at or now
                if left_at is None or now - left_at <= self._grace_s:
                    kept[digest] = replace(entry, left_at=left_at)
            gone = [info.label for info in self.infos() if info.digest not in kept]
            self._loaded = kept
        for label in gone:
            _log.info("backbone %s is unloaded: no head needs it", label)
        return bool(gone)

    def _unserved(self, head: str, backbone: str, digest: str) -> BackboneMismatchError:
        served = {info.label: info.digest for info in self.infos()}
        return BackboneMismatchError.unserved(head, backbone, digest, served)
