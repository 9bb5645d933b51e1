"""Features that were computed are kept, so that a picture seen before costs no pass, and two at once cost one."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from trunkline.core.errors import DeadlineError, QueueFullError
from trunkline.core.exchange import BackboneInfo, FeatureRequest, Features, FeatureSource, local_arrays
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.serving.aside import aside

_HASHED_AT_ONCE = 256 * 1024  # bytes; more takes longer than the way to another thread and back
_ENTRY_BYTES = 512  # of key, frame and objects


@dataclass
class CacheStats:
    """Counts since the start, in requests, and what is kept now.

    `hits`: everything was kept. `joined`: waited for passes that others had begun. `misses`: a pass was begun.
    """

    hits: int = 0
    joined: int = 0
    misses: int = 0
    evicted: int = 0  # features
    entries: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class _Kept:
    array: np.ndarray
    frame: Frame

    @property
    def bytes(self) -> int:
        return self.array.nbytes + _ENTRY_BYTES


class FeatureCache:
    """A FeatureSource before another one, with at most `max_bytes` of features: those that were not asked for the
    longest go first.

    The key is SHA-256 over the picture's bytes, the fingerprint of its preprocessing, the backbone's digest and the
    feature's name, so a request is served from parts, and a pass is run only for what is missing. Errors are not
    kept. Belongs to one event loop.
    """

    def __init__(self, source: FeatureSource, max_bytes: int, stats: CacheStats) -> None:
        """Each request says which backbone it means. `stats` are counted on."""
        self.stats = stats
        self._source = source
        self._max_bytes = max_bytes
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._pending: dict[bytes, _PendingPass] = {}

    async def describe(self) -> Sequence[BackboneInfo]:
        return await self._source.describe()

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        """What the request asks for, kept or computed. Arrays are read-only.

        Raises what computing raises, and DeadlineError. A pass that another request began and that found no place,
        or no time left of that request's, is tried again with what this one has.
        """
        if request.mask is not None:
            return await self._source.extract(request, timeout_s)
        started_at = time.perf_counter()
        large = len(request.image) > _HASHED_AT_ONCE
        keys = await aside(_keys, request) if large else _keys(request)
        while True:
            left_s = None if timeout_s is None else timeout_s - (time.perf_counter() - started_at)
            try:
                return await self._gather(request, keys, left_s)
            except _OthersError:
                continue

    async def _gather(self, request: FeatureRequest, keys: Mapping[str, bytes], timeout_s: float | None) -> Features:
        kept = {name: found for name, key in keys.items() if (found := self._look_up(key)) is not None}
        missing = [name for name in keys if name not in kept]
        joined = {self._pending[keys[name]] for name in missing if keys[name] in self._pending}
        mine = self._begin(request, [name for name in missing if keys[name] not in self._pending], keys, timeout_s)
        self._count(begun=mine is not None, joined=bool(joined))
        started_at = time.perf_counter()
        made = await _results([*joined, mine] if mine else [*joined], mine, timeout_s)
        waited_ms = (time.perf_counter() - started_at) * 1000 if made else 0.0
        if mine is not None and not kept and not joined:
            return made[-1]  # as it came: what is on a device stays there
        for part in made:
            kept |= {
                name: _Kept(array, part.frame) for name, array in local_arrays(part.arrays).items() if name in missing
            }
        if mine is not None:
            own = made[-1]
        else:
            frame = next(iter(kept.values())).frame
            digest = request.backbone_digest
            own = Features({}, frame, digest, queue_ms=waited_ms, decode_ms=0.0, backbone_ms=0.0, cached=True)
        return replace(own, arrays={name: kept[name].array for name in request.features})

    def _look_up(self, key: bytes) -> _Kept | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def _begin(
        self, request: FeatureRequest, names: Collection[str], keys: Mapping[str, bytes], timeout_s: float | None
    ) -> "_PendingPass | None":
        """A pass for these features that goes on as long as anybody waits for it; None where there are no names."""
        if not names:
            return None
        mine = {name: keys[name] for name in names}
        pending = _PendingPass(
            self._make(replace(request, features=tuple(names)), mine, timeout_s),
            ended=lambda pending: self._forget(pending, mine.values()),
        )
        self._pending.update(dict.fromkeys(mine.values(), pending))
        return pending

    async def _make(self, request: FeatureRequest, keys: Mapping[str, bytes], timeout_s: float | None) -> Features:
        found = await self._source.extract(request, timeout_s)
        for name, array in local_arrays(found.arrays).items():
            array.setflags(write=False)
            self._keep(keys[name], _Kept(array, found.frame))
        return found

    def _forget(self, pending: "_PendingPass", keys: Iterable[bytes]) -> None:
        for key in keys:
            if self._pending.get(key) is pending:
                del self._pending[key]

    def _keep(self, key: bytes, kept: _Kept) -> None:
        if kept.bytes > self._max_bytes:
            return
        before = self._kept.pop(key, None)
        self.stats.bytes += kept.bytes - (before.bytes if before else 0)
        self._kept[key] = kept
        while self.stats.bytes > self._max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.stats.bytes -= oldest.bytes
            self.stats.evicted += 1
        self.stats.entries = len(self._kept)

    def _count(self, *, begun: bool, joined: bool) -> None:
        if begun:
            self.stats.misses += 1
        elif joined:
            self.stats.joined += 1
        else:
            self.stats.hits += 1


class _OthersError(Exception):
    """A pass that another request began was refused, or too late for that request."""


class _PendingPass:
    """A pass with those who wait for it. It is given up when the last of them goes."""

    def __init__(self, work: Coroutine[Any, Any, Features], ended: Callable[["_PendingPass"], None]) -> None:
        self._waiters = 0
        self._ended = ended
        self.task = asyncio.create_task(work)
        self.task.add_done_callback(self._ended_now)

    def join(self) -> None:
        self._waiters += 1

    def leave(self) -> None:
        self._waiters -= 1
        if not self._waiters and not self.task.done():
            self._ended(self)  # at once: whoever comes now begins anew
            self.task.cancel()

    def _ended_now(self, task: "asyncio.Task[Features]") -> None:
        self._ended(self)
        if not task.cancelled():
            task.exception()  # seen, also where the last waiter has just gone


async def _results(
    passes: Sequence[_PendingPass], mine: _PendingPass | None, timeout_s: float | None
) -> list[Features]:
    """What all of them gave. Raises what one of them raised; _OthersError where a new try may go better."""
    if not passes:
        return []
    for each in passes:
        each.join()
    try:
        tasks = [each.task for each in passes]
        done, late = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            error = task.exception()
            if isinstance(error, QueueFullError | DeadlineError) and (mine is None or task is not mine.task):
                raise _OthersError from error
            if error is not None:
                raise error
        if late:
            raise DeadlineError("the features were not ready in time")
        return [task.result() for task in tasks]
    finally:
        for each in passes:
            each.leave()


@lru_cache(maxsize=256)
def _fingerprint(spec: PreprocessSpec) -> bytes:
    return spec.fingerprint.encode()


def _keys(request: FeatureRequest) -> dict[str, bytes]:
    """The key of each feature; the picture is read once. Every part but the last has a fixed length."""
    hashed = hashlib.sha256(_fingerprint(request.spec) + request.backbone_digest.encode())
    hashed.update(
        _hash(request.image) if request.shared is None else request.shared.hash(lambda: _hash(request.image))
    )
    keys = {}
    for name in request.features:
        of_feature = hashed.copy()
        of_feature.update(name.encode())
        keys[name] = of_feature.digest()
    return keys


def _hash(image: bytes) -> bytes:
    return hashlib.sha256(image).digest()
