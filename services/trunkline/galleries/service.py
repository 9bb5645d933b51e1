"""What a process does for galleries: opened once, kept up to date, and asked by the servicer."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from trunkline.core.errors import (
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    QueueFullError,
    ServiceUnavailableError,
    SpaceMismatchError,
    TrunklineError,
)
from trunkline.core.exchange import HeadInfo, HeadRunner
from trunkline.core.galleries import AddStatus, Gallery, SearchBy, SearchResult
from trunkline.core.results import Embedding
from trunkline.database.threads import Threads
from trunkline.galleries.changes import ChangeReader
from trunkline.galleries.collection import GenerationGoneError
from trunkline.galleries.database import Database
from trunkline.galleries.embedder import Embedder, Spaces, check_space
from trunkline.galleries.gallery_cache import GalleryCache
from trunkline.galleries.head import find_head
from trunkline.galleries.items import LONGEST_KEY, ItemStore, NewItem, is_key
from trunkline.galleries.limits import EXACT_UP_TO, Limits
from trunkline.galleries.pictures import kept_picture
from trunkline.galleries.reembedder import Reembedder
from trunkline.galleries.reembedding import ReembeddingStore
from trunkline.galleries.search import search
from trunkline.galleries.snapshot import Snapshots
from trunkline.galleries.store import GalleryStore, Record, check_threshold, is_name, no_such_gallery
from trunkline.galleries.vectors import to_bytes, unit
from trunkline.galleries.writer import Writer
from trunkline.serving.security.callers import as_service, current_caller

# Images to add that are at the heads at the same time: enough to keep cores busy, and no burden to other callers.
_EMBEDDED_AT_ONCE: Final = 8
_TRIES: Final = 10
_LONGEST_PAUSE_S: Final = 5.0
_PROBE_S: Final = 5.0
_CLOSE_S: Final = 5.0
_LONG_THREADS: Final = 2
_log = logging.getLogger(__name__)


class Galleries:
    """All of it in one event loop; the database in threads.

    Methods raise NotFoundError for galleries that are not there, ServiceUnavailableError where the database does not
    answer, and what embedding raises.
    """

    def __init__(
        self,
        database: Database,
        snapshots: Snapshots,
        embedder: Embedder,
        limits: Limits,
        exact_up_to: int = EXACT_UP_TO,
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._snapshots = snapshots
        self._spaces = Spaces(embedder)
        self._store = GalleryStore(database, limits)
        self._items = ItemStore(database, limits)
        self._reembeddings = ReembeddingStore(database)
        # What loads, sweeps and embeds anew leaves the threads of short calls alone.
        self._threads = Threads(database.what)
        self._long = Threads(database.what, _LONG_THREADS, within_s=None)
        self._pictures = Threads("keeping of pictures", 1, within_s=None)
        self._cache = GalleryCache(
            self._store,
            self._threads,
            self._long,
            ChangeReader(database),
            snapshots,
            limits.memory_bytes,
            exact_up_to,
        )
        self._writer = Writer(self._items, self._threads, self._cache.changed)
        self._places = asyncio.Semaphore(_EMBEDDED_AT_ONCE)
        self._reembedder = Reembedder(
            self._reembeddings, self._long, self._spaces, self._cache.follow, database.shrink
        )

    async def follow(self, every_s: float) -> None:
        """Until it is cancelled: see what other processes changed, and do what is to be done in the background."""
        while True:
            try:
                await self._cache.follow()
                await self._reembedder.look()
            except ServiceUnavailableError as error:  # it is in the log, and will answer again
                _log.debug("galleries are not followed: %s", error)
            except Exception:
                _log.exception("bug in following galleries")
            await asyncio.sleep(every_s)

    async def look(self) -> None:
        """See whether the database can be used. Raises ServiceUnavailableError."""
        await self._threads.run(self._database.look)
        if not self._cache.looked:
            await self._cache.follow()

    async def close(self) -> None:
        """Save indexes, leave what runs to other processes, and end the connections."""
        await self._reembedder.stop()
        with suppress(TimeoutError, TrunklineError):  # indexes can be made again
            await asyncio.wait_for(self._cache.close(), _CLOSE_S)
        await self._threads.close(self._database.close)
        await self._long.close()
        await self._pictures.close()

    def head(self, name: str) -> tuple[HeadInfo, HeadRunner]:
        """Who answers for gallery:NAME. Raises NotFoundError, ServiceUnavailableError."""
        try:
            return find_head(self._cache, self._embedder, name)
        except NotFoundError:
            if self._cache.looked:
                raise
            text = self._database.trouble or "the galleries are being read: try again"
            raise ServiceUnavailableError(text) from None

    async def create(
        self, name: str, head: str, threshold: float | None, keep_images: bool, timeout_s: float
    ) -> Gallery:
        """Raises InvalidRequestError, AlreadyExistsError, QuotaError, WrongTaskError for a head of another task."""
        if not head:
            raise InvalidRequestError("name the head that embeds; ListHeads lists them")
        like = await self._spaces.of(head, timeout_s)
        caller = current_caller()
        identity = "" if caller is None else caller.name
        record = await self._threads.run(
            self._store.create, name, head, like, threshold, keep_images=keep_images, identity=identity
        )
        self._cache.noted(record)
        return self._described(record)

    async def get(self, name: str, timeout_s: float) -> Gallery:
        """With the space of its head as it is now."""
        record = await self._record(name, fresh=True)
        space = await self._spaces.name(record.gallery.head, min(timeout_s, _PROBE_S))
        return replace(self._described(record), head_space=space)

    async def all(self) -> Sequence[Gallery]:
        """In order of name."""
        return [record.gallery for record in await self._threads.run(self._store.all)]

    async def delete(self, name: str) -> None:
        record = await self._record(name, fresh=True)
        await self._threads.run(self._store.delete, name)
        await self._cache.follow()
        await self._long.run(self._snapshots.remove, record.uid)

    async def add_picture(
        self, name: str, key: str, label: str, image: bytes, timeout_s: float
    ) -> tuple[str, AddStatus]:
        """Embed a picture and keep it. Returns its key and how it came in; a key that is empty becomes its digest.

        Raises InvalidRequestError, SpaceMismatchError, InvalidImageError, QuotaError and what embedding raises.
        """
        digest = await asyncio.to_thread(_digest, image)
        key = _checked(key or digest, label)
        record = await self._record(name)
        if await self._threads.run(self._items.has, record.number, key, digest, label):
            return key, AddStatus.PRESENT
        embedding = await self._embed(record.gallery.head, image, timeout_s)
        picture = await self._pictures.run(kept_picture, image) if record.gallery.keep_images else None
        try:
            return key, await self._add(name, key, label, digest, embedding, picture)
        except SpaceMismatchError:
            head = (await self._record(name, fresh=True)).gallery.head
            if head == record.gallery.head:
                raise
            embedding = await self._embed(head, image, timeout_s)  # it has another head since a moment ago
            return key, await self._add(name, key, label, digest, embedding, picture)

    async def add_vector(self, name: str, key: str, label: str, embedding: Embedding) -> tuple[str, AddStatus]:
        """Keep a vector of the gallery's space. Raises InvalidRequestError, SpaceMismatchError."""
        vector = unit(embedding.values, len(embedding.values))
        digest = _digest(to_bytes(vector))
        key = _checked(key or digest, label)
        return key, await self._add(name, key, label, digest, embedding, None)

    async def remove(self, name: str, keys: Sequence[str]) -> tuple[int, list[str]]:
        """How many images were removed, and the keys of which there was none."""
        record = await self._record(name, fresh=True)
        found = await self._threads.run(self._items.remove, record.number, keys)
        await self._cache.changed(record.number)
        return found

    async def search_picture(
        self, name: str, image: bytes, count: int, by: SearchBy, threshold: float | None, timeout_s: float
    ) -> SearchResult:
        """What is nearest to a picture. Raises SpaceMismatchError where the head embeds into another space by now."""
        check_threshold(threshold)
        head = (await self._record(name)).gallery.head
        while True:
            started_at = time.perf_counter()
            embedding = await self._spaces.embed(head, image, timeout_s)
            embed_ms = (time.perf_counter() - started_at) * 1000
            try:
                found = await self.search_vector(name, embedding, count, by, threshold)
            except SpaceMismatchError:
                before, head = head, (await self._record(name, fresh=True)).gallery.head
                if head == before:
                    raise
            else:
                return replace(found, embed_ms=embed_ms)

    async def search_vector(
        self, name: str, embedding: Embedding, count: int, by: SearchBy, threshold: float | None
    ) -> SearchResult:
        """What is nearest to a vector. Raises SpaceMismatchError, InvalidRequestError, QuotaError."""
        check_threshold(threshold)
        for fresh in (False, True):  # what is known of it may be a second old
            record = await self._record(name, fresh=fresh)
            try:
                collection = await self._cache.collection(record)
                check_space(collection.record, embedding)
                query = unit(embedding.values, collection.record.gallery.dimension)  # (D,)
                if by is SearchBy.CLASSES:  # these are in memory
                    return await asyncio.to_thread(search, collection, self._items, query, count, by, threshold)
                return await self._threads.run(search, collection, self._items, query, count, by, threshold)
            except (NotFoundError, SpaceMismatchError):
                if fresh:
                    raise
            except GenerationGoneError:
                _log.debug("gallery %s has other vectors by now", name)
        raise ServiceUnavailableError(f"gallery {name!r} is changing its vectors: try again")

    async def reembed(self, name: str, head: str, timeout_s: float) -> Gallery:
        """Begin to embed it anew. Raises GalleryStateError where that cannot be."""
        record = await self._record(name, fresh=True)
        head = head or record.gallery.head
        like = await self._spaces.of(head, timeout_s)
        record = await self._threads.run(self._reembeddings.begin, name, head, like)
        with as_service():  # what goes on after the call is no work of its caller
            await self._reembedder.look()
        return self._described(record)

    async def cancel_reembedding(self, name: str) -> Gallery:
        await self._record(name, fresh=True)
        return self._described(await self._threads.run(self._reembeddings.cancel, name))

    async def _add(
        self, name: str, key: str, label: str, digest: str, embedding: Embedding, picture: bytes | None
    ) -> AddStatus:
        for fresh in (False, True):
            record = await self._record(name, fresh=fresh)
            try:
                check_space(record, embedding)
                vector = unit(embedding.values, record.gallery.dimension)
                return await self._writer.add(record, NewItem(key, label, digest, vector, picture))
            except (NotFoundError, SpaceMismatchError):
                if fresh:
                    raise
        raise AssertionError("unreachable")

    async def _embed(self, head: str, image: bytes, timeout_s: float) -> Embedding:
        """Of an image to add, with patience: who adds images sends them no faster than they are taken."""
        async with self._places:
            for _ in range(_TRIES):
                try:
                    return await self._spaces.embed(head, image, timeout_s)
                except QueueFullError as error:
                    await asyncio.sleep(min(max(error.retry_after_s, 0.05), _LONGEST_PAUSE_S))
                except DeadlineError:
                    _log.debug("an image to add waits for head %s", head)
            return await self._spaces.embed(head, image, timeout_s)

    async def _record(self, name: str, *, fresh: bool = False) -> Record:
        if not fresh:
            with suppress(NotFoundError):
                return self._cache.known(name)
        if not is_name(name):  # a text that no database takes may be one
            raise no_such_gallery(name)
        record = await self._threads.run(self._store.get, name)
        self._cache.noted(record)
        return record

    def _described(self, record: Record) -> Gallery:
        return replace(record.gallery, index=self._cache.index_state(record))


def _checked(key: str, label: str) -> str:
    for what, text in (("id", key), ("class_label", label)):
        if not is_key(text):
            raise InvalidRequestError(f"{what} must be at most {LONGEST_KEY} printable characters")
    return key


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
