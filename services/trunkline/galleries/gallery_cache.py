"""The galleries that a process has in memory: loaded when they are asked, kept up to date, dropped for others."""

import asyncio
import logging
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from weakref import WeakValueDictionary

from trunkline.core.errors import NotFoundError, QuotaError, ServiceUnavailableError, TrunklineError
from trunkline.core.galleries import IndexState
from trunkline.database.threads import Threads
from trunkline.galleries.changes import ChangeReader
from trunkline.galleries.collection import Collection, GenerationGoneError
from trunkline.galleries.limits import EXACT_UP_TO, memory_of, too_much_memory
from trunkline.galleries.snapshot import Snapshots
from trunkline.galleries.store import GalleryStore, Record, no_such_gallery

_TRIES: Final = 3
_log = logging.getLogger(__name__)


class GalleryCache:
    """All of it is called in one event loop; what takes time runs in threads."""

    def __init__(
        self,
        store: GalleryStore,
        threads: Threads,
        long: Threads,
        reader: ChangeReader,
        snapshots: Snapshots,
        limit_bytes: int,
        exact_up_to: int = EXACT_UP_TO,
    ) -> None:
        """threads: for what asks the database. long: the same, for what may take long.

        limit_bytes: above it, galleries that were not asked for the longest are dropped, also for one that is about
        to be loaded; one that would be larger by itself is not.
        """
        self._store = store
        self._threads = threads
        self._long = long
        self._reader = reader
        self._snapshots = snapshots
        self._limit_bytes = limit_bytes
        self._exact_up_to = exact_up_to
        self._records: Mapping[str, Record] = {}
        self._loaded: dict[int, Collection] = {}  # in order of their last use
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()  # of those being loaded
        # Graphs are made one after the other, by a thread that leaves the cores to whoever answers.
        self._tender = Threads("gallery index", 1, within_s=None, begin=_step_back)
        self._tending: set[asyncio.Task[None]] = set()
        self._coming = 0  # bytes of those that are being loaded
        self._came = asyncio.Event()
        self.looked = False  # whether the database has said which galleries there are

    def known(self, name: str) -> Record:
        """A gallery as it was when the database was last looked at. Raises NotFoundError."""
        record = self._records.get(name)
        if record is None:
            raise no_such_gallery(name)
        return record

    def index_state(self, record: Record) -> IndexState:
        """How it is searched here."""
        found = self._loaded.get(record.number)
        return IndexState() if found is None else found.state

    async def collection(self, record: Record) -> Collection:
        """A gallery that can be searched, in the generation that the record says or a later one.

        Raises NotFoundError where it was deleted, QuotaError where it is too large, ServiceUnavailableError.
        """
        found = self._loaded.get(record.number)
        if found is not None and found.record.generation >= record.generation:
            self._loaded[record.number] = self._loaded.pop(record.number)
            return found
        async with self._locks.setdefault(record.number, asyncio.Lock()):
            found = self._loaded.get(record.number)
            if found is None or found.record.generation < record.generation:
                found = await self._load(record)
        return found

    async def follow(self) -> None:
        """Look at the database, and bring all that is loaded up to date. Raises ServiceUnavailableError."""
        before = {number: collection.sequence for number, collection in self._loaded.items()}
        records = await self._threads.run(self._store.all)
        self._records = {record.name: record for record in records}
        self.looked = True
        by_number = {record.number: record for record in records}
        for number, collection in list(self._loaded.items()):
            record = by_number.get(number)
            # A database that was put back to an earlier state may have another gallery there, or fewer changes.
            if record is None or record.uid != collection.record.uid or record.sequence < before.get(number, 0):
                await self._drop(number, gone=True)
            elif record.generation != collection.record.generation or collection.worn:
                await self._renew(record, from_file=not collection.worn)
            elif record.sequence > collection.sequence:
                await self._catch_up(collection)

    async def changed(self, number: int) -> None:
        """What was just changed here is found from now on. Errors are left to the next look."""
        collection = self._loaded.get(number)
        if collection is not None:
            try:
                await self._catch_up(collection)
            except TrunklineError as error:
                _log.warning("gallery %s is not up to date: %s", collection.record.name, error)

    def noted(self, record: Record) -> None:
        """A gallery that was just made or changed here."""
        self._records = {**self._records, record.name: record}

    async def close(self) -> None:
        """Save what is loaded."""
        for number in list(self._loaded):
            await self._drop(number)
        await asyncio.gather(*self._tending, return_exceptions=True)
        await self._tender.close()

    async def _load(self, record: Record, *, from_file: bool = True) -> Collection:
        for _ in range(_TRIES):
            try:
                made = await self._loaded_anew(record, from_file=from_file)
            except GenerationGoneError:
                record = await self._threads.run(self._store.get, record.name)
                continue
            before = self._loaded.pop(record.number, None)
            self._loaded[record.number] = made
            if before is not None:
                await self._long.run(before.close, save=False)
            self._tend(made)
            await self._make_room(record.number)
            return made
        raise ServiceUnavailableError(f"gallery {record.name!r} changes too fast to be read: try again")

    async def _loaded_anew(self, record: Record, *, from_file: bool) -> Collection:
        """Raises GenerationGoneError, QuotaError."""
        gallery = record.gallery
        needed = memory_of(gallery.images, gallery.classes, gallery.dimension)
        if needed > self._limit_bytes:
            raise too_much_memory(record.name, needed, self._limit_bytes)
        await self._make_room_for(record.number, needed)
        self._coming += needed
        try:
            made = Collection(record, self._reader, self._snapshots, self._exact_up_to)
            await self._long.run(made.load, from_file=from_file)
        finally:
            self._coming -= needed
            self._came.set()
        return made

    async def _make_room_for(self, number: int, needed: int) -> None:
        while self._bytes + needed > self._limit_bytes:
            others = [each for each in self._loaded if each != number] or list(self._loaded)
            if others:
                await self._drop(others[0])
            elif self._coming:
                self._came.clear()
                await self._came.wait()
            else:
                return

    @property
    def _bytes(self) -> int:
        return self._coming + sum(each.state.bytes for each in self._loaded.values())

    async def _renew(self, record: Record, *, from_file: bool) -> None:
        """Load it anew, beside the old one, which answers until then."""
        async with self._locks.setdefault(record.number, asyncio.Lock()):
            try:
                await self._load(record, from_file=from_file)
            except NotFoundError:
                await self._drop(record.number, gone=True)
            except QuotaError as error:
                _log.warning("%s", error)
                await self._drop(record.number, gone=True)

    async def _catch_up(self, collection: Collection) -> None:
        try:
            await self._threads.run(collection.catch_up)
        except GenerationGoneError:
            return  # the next look sees what it has become
        self._tend(collection)
        await self._make_room(collection.record.number)

    def _tend(self, collection: Collection) -> None:
        if collection.untended:
            work = asyncio.create_task(self._tender.run(collection.tend))
            self._tending.add(work)
            work.add_done_callback(self._tended)

    def _tended(self, work: "asyncio.Task[None]") -> None:
        self._tending.discard(work)
        if not work.cancelled() and work.exception() is not None:
            _log.error("an index could not be made", exc_info=work.exception())

    async def _make_room(self, kept: int) -> None:
        for number in list(self._loaded):
            if self._bytes <= self._limit_bytes:
                return
            if number != kept:
                await self._drop(number)

    async def _drop(self, number: int, *, gone: bool = False) -> None:
        collection = self._loaded.pop(number, None)
        if collection is None:
            return
        await self._long.run(collection.close, save=not gone)
        if gone:
            await self._long.run(self._snapshots.remove, collection.record.uid)


def _step_back() -> None:
    with suppress(OSError, AttributeError):  # Linux alone has a priority of threads
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
