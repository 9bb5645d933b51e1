"""Pictures of several requests in one pass, where that is faster: on an accelerator, not on a CPU."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trunkline.core.errors import DeadlineError
from trunkline.core.preprocess import Pixels
from trunkline.serving.admission import Priority, full
from trunkline.serving.device import row_of
from trunkline.serving.workers import WorkerPool

Arrays = Mapping[str, np.ndarray]
Pass = Callable[[Pixels, Sequence[str]], Arrays]
_LEAST_GAIN = 1.2  # a batch holds up its first picture, which must be worth it
_MEASURED_S = 0.2
_log = logging.getLogger(__name__)


@dataclass
class BatchStats:
    """Counts since the start.

    `sizes`: batches by how many pictures they had. `closed`: batches by why they waited no longer: "full", "wait",
    "deadline" (of a picture in it). `retried`: batches that failed and were run one by one.
    """

    sizes: Counter[int] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    retried: int = 0


@dataclass(frozen=True)
class Batched:
    """Features of one picture, and its times in milliseconds: waiting, and the pass that it shared."""

    arrays: Arrays
    queue_ms: float
    backbone_ms: float


@dataclass(eq=False)
class _Item:
    pixels: Pixels  # (1, H, W, C)
    ends_at: float | None
    required: bool
    done: "asyncio.Future[Batched]"
    came_at: float = field(default_factory=time.perf_counter)


_Key = tuple[tuple[int, ...], tuple[str, ...]]  # (H, W, C) and the names of the features


@dataclass(eq=False)
class _Batch:
    key: _Key
    items: list[_Item] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    closes_at: float = float("inf")
    task: "asyncio.Task[None] | None" = None


class Batcher:
    """Collects pictures of one shape for the same features; a batch is one piece of work.

    It closes when it is full, when its first picture has waited `wait_s`, or when a deadline in it leaves no more
    time. Belongs to one event loop.
    """

    def __init__(self, run: Pass, workers: WorkerPool, max_batch: int, wait_s: float, max_held: int) -> None:
        self.stats = BatchStats()
        self._run = run
        self._workers = workers
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._max_held = max_held
        self._held = 0
        self._open: dict[_Key, _Batch] = {}

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Held from before a picture is decoded, so that decoded ones are bounded. Raises QueueFullError."""
        if self._held >= self._max_held:
            raise full(self._held, self._max_held, self._workers.mean_s(Priority.BATCH))
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def run(
        self, pixels: Pixels, features: Sequence[str], timeout_s: float | None, *, required: bool = True
    ) -> Batched:
        """Features of pixels (1, H, W, C), each with a batch axis of 1.

        Raises QueueFullError, DeadlineError, and what the pass raises for this picture alone.
        """
        loop = asyncio.get_running_loop()
        ends_at = None if timeout_s is None else time.perf_counter() + timeout_s
        item = _Item(pixels, ends_at, required, loop.create_future())
        batch = self._join(item, tuple(sorted(features)))
        try:
            async with asyncio.timeout(timeout_s):
                return await item.done
        except TimeoutError:
            raise DeadlineError("the features were not ready in time") from None
        finally:
            self._leave(item, batch)

    # Opening and closing -----------------------------------------------------------------------------------

    def _join(self, item: _Item, features: tuple[str, ...]) -> _Batch:
        key = (item.pixels.shape[1:], features)
        batch = self._open.setdefault(key, _Batch(key))
        batch.items.append(item)
        if len(batch.items) >= self._max_batch:
            self._close(batch, "full")
            return batch
        now = time.perf_counter()
        for closes_at, why in self._limits(item):
            if closes_at < batch.closes_at:
                batch.closes_at = closes_at
                if batch.timer is not None:
                    batch.timer.cancel()
                batch.timer = asyncio.get_running_loop().call_later(
                    max(0.0, closes_at - now), self._close, batch, why
                )
        return batch

    def _limits(self, item: _Item) -> Iterator[tuple[float, str]]:
        yield item.came_at + self._wait_s, "wait"
        if item.ends_at is not None:
            # Twice the mean of a pass: it may take longer, and may have to wait for a thread.
            yield item.ends_at - 2 * self._workers.mean_s(Priority.BATCH), "deadline"

    def _close(self, batch: _Batch, why: str) -> None:
        self._take_out(batch)
        self.stats.closed[why] += 1
        batch.task = asyncio.create_task(self._serve(batch))

    def _leave(self, item: _Item, batch: _Batch) -> None:
        """A batch that nobody waits for any more is given up, whether it is open or waits for a thread."""
        item.done.cancel()
        if not all(each.done.done() for each in batch.items):
            if batch.task is None:
                batch.items.remove(item)
        elif batch.task is not None:
            batch.task.cancel()
        else:
            self._take_out(batch)

    def _take_out(self, batch: _Batch) -> None:
        if batch.timer is not None:
            batch.timer.cancel()
        if self._open.get(batch.key) is batch:
            del self._open[batch.key]

    # Running -----------------------------------------------------------------------------------------------

    async def _serve(self, batch: _Batch) -> None:
        ends = [item.ends_at for item in batch.items]
        timeout_s = max((end for end in ends if end is not None), default=0.0) - time.perf_counter()
        try:
            found, _ = await self._workers.run(
                lambda: self._compute(batch),
                Priority.BATCH,
                timeout_s=None if None in ends else timeout_s,
                required=any(item.required for item in batch.items),
            )
        except Exception as error:
            found = [(item, error) for item in batch.items]
        for item, result in found:
            if item.done.done():
                continue
            if isinstance(result, Exception):
                item.done.set_exception(result)
            else:
                item.done.set_result(result)

    def _compute(self, batch: _Batch) -> list[tuple[_Item, Batched | Exception]]:
        """In a worker thread: one pass for all who still wait, or one for each where that fails."""
        items, features = [item for item in batch.items if not item.done.done()], batch.key[1]
        if not items:
            return []
        self.stats.sizes[len(items)] += 1
        try:
            return self._pass(items, features)
        except Exception as error:
            if len(items) == 1:
                return [(items[0], error)]
        _log.warning("a batch of %d failed and is run one by one", len(items))
        self.stats.retried += 1
        return [self._alone(item, features) for item in items]

    def _alone(self, item: _Item, features: Sequence[str]) -> tuple[_Item, Batched | Exception]:
        try:
            return self._pass([item], features)[0]
        except Exception as error:
            return item, error

    def _pass(self, items: Sequence[_Item], features: Sequence[str]) -> list[tuple[_Item, Batched | Exception]]:
        started_at = time.perf_counter()
        pixels = np.concatenate([item.pixels for item in items])  # N x (1, H, W, C) -> (N, H, W, C)
        arrays = self._run(pixels, features)  # each (N, ...)
        took_ms = (time.perf_counter() - started_at) * 1000
        return [
            (item, Batched(row_of(arrays, index), (started_at - item.came_at) * 1000, took_ms))
            for index, item in enumerate(items)
        ]


def batches_help(run: Pass, pixels: Pixels, features: Sequence[str], max_batch: int) -> bool:
    """Measure whether full batches of pixels (1, H, W, C) give clearly more pictures a second than single ones."""
    batch = np.repeat(pixels, max_batch, axis=0)  # (1, H, W, C) -> (N, H, W, C)
    alone, together = _per_second(run, pixels, features), _per_second(run, batch, features)
    _log.info("one by one %.0f pictures/s, in batches of %d %.0f", alone, max_batch, together)
    return together >= _LEAST_GAIN * alone


def _per_second(run: Pass, pixels: Pixels, features: Sequence[str]) -> float:
    run(pixels, features)  # the first one of a shape may tune itself
    started_at, runs = time.perf_counter(), 0
    while time.perf_counter() - started_at < _MEASURED_S:
        run(pixels, features)
        runs += 1
    return runs * len(pixels) / (time.perf_counter() - started_at)
