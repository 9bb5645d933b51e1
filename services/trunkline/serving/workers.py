"""Threads that compute, with bounded queues in which finishing work goes before new work."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from trunkline.core.errors import DeadlineError, QueueFullError, ServiceUnavailableError
from trunkline.core.steps import in_steps
from trunkline.serving.admission import LANES, Estimate, Lane, Load, PoolStats, Priority, check_time, full, too_late
from trunkline.serving.cores import Cores
from trunkline.serving.large import LargeWork, is_large
from trunkline.serving.memory import give_back_freed
from trunkline.serving.work_item import WorkItem

__all__ = ["Priority", "WorkerPool"]
T = TypeVar("T")


class WorkerPool:
    """`threads` threads; at most `max_held` pieces of work of each priority, waiting or running.

    Within a lane the first goes first. Work whose caller was cancelled or whose deadline passed leaves its queue at
    once. The queues may be read and changed by several threads, under one lock. Work that is alone may ask
    `cores` for all of them; long work calls `give_way` between its steps. Large work waits apart, leaves threads to
    the rest and takes so much memory together as `bound_large` says (`large.py`).
    """

    def __init__(self, threads: int, max_held: int) -> None:
        self.stats = PoolStats()
        self.cores = Cores(threads)
        self._max_held = max_held
        self._changed = threading.Condition()
        self._lanes: dict[Lane, OrderedDict[WorkItem, None]] = {lane: OrderedDict() for lane in LANES}
        self._running = dict.fromkeys(Priority, 0)
        self._large = LargeWork(threads, max_held)
        self._lent = 0  # of those that run, how many have lent their thread to another
        self._estimate = Estimate(threads)
        self._closed = False
        self._here = threading.local()  # .item: what this thread runs
        self._threads = [
            threading.Thread(target=self._serve, name=f"worker-{index}", daemon=True) for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def bound_large(self, memory_bytes: int) -> None:
        """Large pieces that run together take at most so much memory; one alone may take more."""
        self._large.memory_bytes = memory_bytes

    @property
    def load(self) -> Load:
        """What waits and what runs at this moment."""
        waiting = {lane: len(held) for lane, held in self._lanes.items()}
        return Load(waiting, dict(self._running), len(self._threads), self._large.running)

    @property
    def held(self) -> int:
        """Pieces of work that wait or run."""
        return self.waiting + sum(self._running.values()) + self._large.running

    @property
    def waiting(self) -> int:
        """Pieces of work in the queues."""
        return self._small_waiting + len(self._large)

    @property
    def _small_waiting(self) -> int:
        return sum(map(len, self._lanes.values()))

    @property
    def limit(self) -> int:
        """Pieces of work of each priority that may be held."""
        return self._max_held

    def mean_s(self, priority: Priority) -> float:
        """Running mean of a piece of this priority, seconds; 0 while none has run."""
        return self._estimate.mean_s(priority)

    async def run(
        self,
        work: Callable[[], T],
        priority: Priority,
        timeout_s: float | None = None,
        required: bool = True,
        weight: int = 0,
    ) -> tuple[T, float]:
        """The result of work() and the milliseconds it waited. weight: bytes of memory that it will take.

        Raises QueueFullError at once where the bound is reached or the work could not be done within `timeout_s`
        seconds, DeadlineError where they are over before it starts, and what work() raises. Work that is not
        `required` is refused earlier, and later too, to make room for work that is.
        """
        loop = asyncio.get_running_loop()
        item = WorkItem(work, Lane(priority, not required), loop, timeout_s, weight if is_large(weight) else 0)
        self._put(item)
        timer = loop.call_later(timeout_s, self._expire, item) if timeout_s is not None else None
        try:
            result, queue_ms = await item.done
            return result, queue_ms
        finally:
            if timer is not None:
                timer.cancel()
            if self._remove(item):
                self.stats.ended["cancelled"] += 1
            del item  # an error that is raised here has this frame, and the item has the error

    def give_way(self) -> None:
        """From within a piece, between two of its steps: run here what goes before it and waits for a thread.

        So a head waits for a step of a pass, not for a whole one. Where a thread is free, that one takes it.
        """
        mine = self._here.item
        began_at = time.perf_counter()
        while (item := self._take_before(lambda lane: lane.priority < mine.lane.priority)) is not None:
            self._run_lent(item)
        self._here.item = mine
        mine.lent_s += time.perf_counter() - began_at

    def _in_steps(self, item: WorkItem) -> Any:
        """A large piece: between its steps one small one after the other has its turn, where no thread is free."""

        def lend() -> None:
            small = self._take_before(lambda lane: not lane.optional)
            if small is None:
                return
            began_at = time.perf_counter()
            self._run_lent(small)
            self._here.item = item
            item.lent_s += time.perf_counter() - began_at

        try:
            with in_steps(lend):
                return item.work()
        finally:
            give_back_freed()  # else the next large one, on another thread, may come on top of what this one had

    def _run_lent(self, item: WorkItem) -> None:
        with in_steps(None):
            self._run(item)
        with self._changed:
            self._lent -= 1

    def close(self, within_s: float | None = None) -> None:
        """Let running work end, within `within_s` seconds, and stop the threads; work that waits is cancelled."""
        ends_at = None if within_s is None else time.monotonic() + within_s
        with self._changed:
            self._closed = True
            waiting = [*(item for lane in self._lanes.values() for item in lane), *self._large]
            self._large.clear()
            for lane in self._lanes.values():
                lane.clear()
            self._changed.notify_all()
        for item in waiting:
            item.post(item.done.cancel)
        for thread in self._threads:
            thread.join(None if ends_at is None else max(0.0, ends_at - time.monotonic()))

    # Into the queue and out of it --------------------------------------------------------------------------

    def _put(self, item: WorkItem) -> None:
        with self._changed:
            if self._closed:
                raise ServiceUnavailableError("this process is stopping")
            if item.weight:
                self._put_large(item)
                return
            if item.is_over() or not self._runs_at_once():
                load = self.load
                self._check_time(load, item)
                self._make_room(load, item.lane)
            self._lanes[item.lane][item] = None
            self._changed.notify()

    def _put_large(self, item: WorkItem) -> None:
        if item.is_over() or not (self._runs_at_once() and not self._large and self._large.may_run(item)):
            try:
                self._large.check(item)
            except DeadlineError:
                self.stats.refused["over"] += 1
                raise
            except QueueFullError as error:
                self.stats.refused["full" if "limit" in error.metadata else "late"] += 1
                raise
        self._large.put(item)
        self._changed.notify()

    def _runs_at_once(self) -> bool:
        return not self._small_waiting and self._busy < min(len(self._threads), self._max_held)

    @property
    def _busy(self) -> int:
        return sum(self._running.values()) + self._large.running - self._lent

    def _check_time(self, load: Load, item: WorkItem) -> None:
        try:
            check_time(load, item.lane, self._estimate, item.timeout_s)
        except DeadlineError:
            self.stats.refused["over"] += 1
            raise
        except QueueFullError:
            self.stats.refused["pressure" if item.lane.optional else "late"] += 1
            raise

    def _make_room(self, load: Load, lane: Lane) -> None:
        held, limit = load.held(lane.priority), self._max_held // (2 if lane.optional else 1)
        if held < limit:
            return
        wait_s, optional = (
            self._estimate.wait_s(load.waiting, load.running, load.large),
            self._lanes[Lane(lane.priority, True)],
        )
        if lane.optional or not optional:
            self.stats.refused["pressure" if lane.optional else "full"] += 1
            raise full(held, limit, wait_s)
        newest, _ = optional.popitem()
        self.stats.refused["evicted"] += 1
        newest.fail(full(held, limit, wait_s))

    def _remove(self, item: WorkItem) -> bool:
        """Whether it was still waiting."""
        with self._changed:
            if item.weight:
                return self._large.remove(item)
            return self._lanes[item.lane].pop(item, _ABSENT) is not _ABSENT

    def _expire(self, item: WorkItem) -> None:
        if self._remove(item):
            self.stats.ended["expired"] += 1
            item.fail(DeadlineError(f"waited {item.waited_s():.2f} s for a thread, then its deadline passed"))

    # The threads -------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (item := self._take()) is not None:
            with self.cores.entered():
                self._run(item)
            del item  # its pictures and features are not held until the next one comes

    def _run(self, item: WorkItem) -> None:
        self._here.item = item
        started_at = time.perf_counter()
        queue_ms = item.waited_s() * 1000
        try:
            result = item.context.run(self._in_steps, item) if item.weight else item.context.run(item.work)
        except BaseException as error:
            self._ended(item, time.perf_counter() - started_at - item.lent_s, "failed")
            item.fail(error)
        else:
            self._ended(item, time.perf_counter() - started_at - item.lent_s, "done")
            item.finish((result, queue_ms))
        finally:
            self._here.item = None
            del item  # as in `run`

    def _take(self) -> WorkItem | None:
        """The next piece that can still be done in time; None at the end."""
        with self._changed:
            while True:
                large = self._large.take(small_wait=bool(self._small_waiting)) if self._large else None
                if large is not None:
                    self._large.begin(large)
                    return large
                lane = next((lane for lane in self._lanes.values() if lane), None)
                if lane is not None:
                    item, _ = lane.popitem(last=False)
                    if self._in_time(item):
                        self._running[item.lane.priority] += 1
                        return item
                elif self._closed:
                    return None
                else:
                    self._changed.wait()

    def _take_before(self, goes_before: Callable[[Lane], bool]) -> WorkItem | None:
        """A piece of such a lane, for the piece that runs on this thread and lends it."""
        with self._changed:
            while self._busy >= len(self._threads):
                before = (held for lane, held in self._lanes.items() if goes_before(lane))
                lane = next(filter(None, before), None)
                if lane is None:
                    break
                item, _ = lane.popitem(last=False)
                if self._in_time(item):
                    self._running[item.lane.priority] += 1
                    self._lent += 1
                    return item
            return None

    def _in_time(self, item: WorkItem) -> bool:
        # A thread that has nothing else to do tries what may be too late; so do the means get right again.
        if item.timeout_s is None or not self._small_waiting:
            return True
        left_s = item.timeout_s - item.waited_s()
        if self._estimate.fits(item.lane.priority, left_s):
            return True
        self.stats.refused["late"] += 1
        item.fail(too_late(item.waited_s(), max(0.0, left_s)))
        return False

    def _ended(self, item: WorkItem, took_s: float, how: str) -> None:
        priority = item.lane.priority
        with self._changed:
            self.stats.ended[how] += 1
            if item.weight:
                self._large.end(item, took_s, done=how == "done")
                if self._large:
                    self._changed.notify()
                return
            self._running[priority] -= 1
            if how == "done":  # a picture that is none says nothing about how long one takes
                passes_wait = any(self._lanes[lane] for lane in _PASSES)
                self._estimate.ran(priority, took_s, passes_wait=passes_wait)


_ABSENT = object()
_PASSES = [lane for lane in LANES if lane.priority is Priority.BACKBONE]
