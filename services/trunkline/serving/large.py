"""Large pieces of work, such as a picture of 49 megapixels: lanes, threads and memory of their own.

They cost a hundred times what others do, so they count by their weight, the bytes that they take; the means of all
others know nothing of them, and threads are left for those.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator

from trunkline.core.errors import DeadlineError
from trunkline.core.shrink import LARGE_BYTES
from trunkline.serving.admission import LANES, Lane, Mean, Priority, full, share_of, too_late
from trunkline.serving.work_item import WorkItem

_MEMORY_BYTES = 300_000_000  # of those that run together, where nothing else is said
_SHARE_OF_HELD = 4  # a quarter of what a pool may hold
# So long a large one waits behind small ones; then it goes first, once those had as long as the last large one took.
_PATIENCE_S = 1.0


class LargeWork:
    """Large pieces that wait and run, at most half of the threads at a time. For the holder of the pool's lock."""

    def __init__(self, threads: int, max_held: int) -> None:
        self.places = max(1, threads // 2)
        self.running = 0
        self._bytes = 0  # of those that run
        self.memory_bytes = _MEMORY_BYTES
        self._limit = max(1, max_held // _SHARE_OF_HELD)
        self._lanes: dict[Lane, OrderedDict[WorkItem, None]] = {lane: OrderedDict() for lane in LANES}
        self._s_per_byte = {priority: Mean() for priority in Priority}
        self._rested_at = 0.0

    def __len__(self) -> int:
        """Pieces that wait."""
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[WorkItem]:
        """Those that wait, in their order."""
        for lane in self._lanes.values():
            yield from lane

    def may_run(self, item: WorkItem) -> bool:
        """One always may, more of them where they leave threads and fit into memory."""
        return not self.running or (self.running < self.places and self._bytes + item.weight <= self.memory_bytes)

    def check(self, item: WorkItem) -> None:
        """Of a piece that has to wait. Raises QueueFullError, DeadlineError where no time is left."""
        wait_s = self._wait_s()
        held = len(self) + self.running
        if held >= self._limit:
            raise full(held, self._limit, wait_s)
        left_s = item.timeout_s
        if left_s is None:
            return
        if left_s <= 0:
            raise DeadlineError("the deadline passed before the work could start")
        if wait_s + self._takes_s(item) > share_of(left_s, optional=item.lane.optional):
            raise too_late(wait_s, left_s)

    def put(self, item: WorkItem) -> None:
        self._lanes[item.lane][item] = None

    def remove(self, item: WorkItem) -> bool:
        """Whether it was still waiting."""
        return self._lanes[item.lane].pop(item, _ABSENT) is not _ABSENT

    def clear(self) -> None:
        for lane in self._lanes.values():
            lane.clear()

    def take(self, *, small_wait: bool) -> WorkItem | None:
        """The next one that may run now, taken out of its lane."""
        item = next(iter(self), None)
        if item is None or not self.may_run(item):
            return None
        if small_wait and (item.waited_s() < _PATIENCE_S or time.perf_counter() < self._rested_at):
            return None
        self.remove(item)
        return item

    def begin(self, item: WorkItem) -> None:
        self.running += 1
        self._bytes += item.weight

    def end(self, item: WorkItem, took_s: float, *, done: bool) -> None:
        self.running -= 1
        self._bytes -= item.weight
        self._rested_at = time.perf_counter() + took_s
        if done:
            self._s_per_byte[item.lane.priority].add(took_s / item.weight)

    def _takes_s(self, item: WorkItem) -> float:
        return item.weight * self._s_per_byte[item.lane.priority].value

    def _wait_s(self) -> float:
        per_byte = max(mean.value for mean in self._s_per_byte.values())
        # One that runs is half done, on average.
        return (sum(map(self._takes_s, self)) + self._bytes / 2 * per_byte) / self.places


def is_large(weight: int) -> bool:
    """Whether work of this weight, bytes of memory, is to wait among the large ones."""
    return weight > LARGE_BYTES


_ABSENT = object()
