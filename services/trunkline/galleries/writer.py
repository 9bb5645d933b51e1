"""Images that are to be stored at the same time share a transaction, which costs more than what is in it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from trunkline.core.galleries import AddStatus
from trunkline.database.threads import Threads
from trunkline.galleries.items import ItemStore, NewItem
from trunkline.galleries.store import Record

_AT_ONCE = 128
_BYTES_AT_ONCE = 32 * 1024 * 1024  # of pictures: others write in between
_Waiting = tuple[NewItem, asyncio.Future[AddStatus]]


class Writer:
    """Of all galleries of a process; in one event loop."""

    def __init__(self, items: ItemStore, threads: Threads, stored: Callable[[int], Awaitable[None]]) -> None:
        """stored: called with the number of a gallery after each transaction, before its images are answered."""
        self._items = items
        self._threads = threads
        self._stored = stored
        self._waiting: dict[tuple[int, str], list[_Waiting]] = {}
        self._writing: dict[tuple[int, str], asyncio.Task[None]] = {}

    async def add(self, record: Record, item: NewItem) -> AddStatus:
        """How it came into the gallery, once that is certain. Raises QuotaError, and as ItemStore.add does."""
        place = (record.number, record.gallery.space)
        done: asyncio.Future[AddStatus] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, []).append((item, done))
        if place not in self._writing:
            self._writing[place] = asyncio.create_task(self._write(place))
        return await done

    async def _write(self, place: tuple[int, str]) -> None:
        try:
            while waiting := self._waiting.pop(place, []):
                count = _count(waiting)
                some, rest = waiting[:count], waiting[count:]
                if rest:
                    self._waiting[place] = rest
                await self._store(place, some)
        finally:
            del self._writing[place]

    async def _store(self, place: tuple[int, str], some: Sequence[_Waiting]) -> None:
        wanted = [(item, done) for item, done in some if not done.done()]  # whose stream has ended wants nothing
        try:
            found = await self._threads.run(self._items.add, *place, [item for item, _ in wanted])
            await self._stored(place[0])
        except Exception as error:  # it is that of each of them
            for _, done in wanted:
                if not done.done():
                    done.set_exception(error)
            return
        for (_, done), status in zip(wanted, found, strict=True):
            if done.done():
                continue
            if isinstance(status, AddStatus):
                done.set_result(status)
            else:
                done.set_exception(status)


def _count(waiting: Sequence[_Waiting]) -> int:
    """How many of them go into one transaction, at least one."""
    total = 0
    for count, (item, _) in enumerate(waiting[:_AT_ONCE]):
        total += len(item.picture or b"")
        if count and total > _BYTES_AT_ONCE:
            return count
    return min(len(waiting), _AT_ONCE)
