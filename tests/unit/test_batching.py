"""Batches: when they close, what they give, and that nobody in one pays for another."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from trunkline.backbone.batching import Batcher, batches_help
from trunkline.core.errors import DeadlineError, InvalidRequestError, QueueFullError
from trunkline.serving.workers import Priority, WorkerPool

FEATURES = ("pooled",)
LONG_S = 60.0


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(threads=1, max_held=8)
    yield pool
    pool.close()


class Net:
    """pooled = the mean of each picture, (N, 1). A picture of 255 fails, alone or in a batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.entered, self.open = threading.Event(), threading.Event()
        self.open.set()

    def run(self, pixels: np.ndarray, features: Sequence[str]) -> dict[str, np.ndarray]:
        self.batches.append(len(pixels))
        self.entered.set()
        assert self.open.wait(10)
        if (pixels == 255).any():
            raise InvalidRequestError("too bright")
        means = pixels.astype(np.float32).mean(axis=(1, 2, 3))  # (N, H, W, C) -> (N,)
        return dict.fromkeys(features, means[:, None])


@pytest.fixture
def net() -> Net:
    return Net()


def picture(value: int, side: int = 2) -> np.ndarray:
    return np.full((1, side, side, 3), value, np.uint8)


def batcher(net: Net, pool: WorkerPool, *, max_batch: int = 4, wait_s: float = LONG_S, max_held: int = 99) -> Batcher:
    return Batcher(net.run, pool, max_batch, wait_s, max_held)


async def begun(*work) -> list[asyncio.Task]:
    tasks = [asyncio.create_task(each) for each in work]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_a_full_batch_is_one_pass_and_each_gets_its_own(net, pool):
    each = batcher(net, pool)
    found = await asyncio.gather(*(each.run(picture(value), FEATURES, LONG_S) for value in (1, 2, 3, 4)))
    assert [float(done.arrays["pooled"][0, 0]) for done in found] == [1, 2, 3, 4]
    assert {done.arrays["pooled"].shape for done in found} == {(1, 1)}
    assert all(done.arrays["pooled"].base is None for done in found)
    assert net.batches == [4]
    assert (each.stats.closed, each.stats.sizes) == ({"full": 1}, {4: 1})


async def test_a_batch_waits_no_longer_than_it_may(net, pool):
    each = batcher(net, pool, wait_s=0.02)
    found = await asyncio.gather(*(each.run(picture(value), FEATURES, LONG_S) for value in (1, 2)))
    assert all(done.queue_ms >= 15 for done in found)
    assert (each.stats.closed, each.stats.sizes) == ({"wait": 1}, {2: 1})


async def test_a_deadline_closes_a_batch_before_it_is_too_late(net, pool):
    await pool.run(lambda: None, Priority.BATCH)
    each = batcher(net, pool)
    pool._estimate.ran(Priority.BATCH, 1.0, passes_wait=False)  # a pass takes long enough to matter
    patient, hasty = await asyncio.gather(
        each.run(picture(1), FEATURES, LONG_S), each.run(picture(2), FEATURES, 2 * pool.mean_s(Priority.BATCH) + 0.05)
    )
    assert hasty.queue_ms < 1000 * LONG_S / 2
    assert float(patient.arrays["pooled"][0, 0]) == 1
    assert each.stats.closed == {"deadline": 1}


async def test_shapes_and_features_are_not_mixed(net, pool):
    each = batcher(net, pool, max_batch=2)
    requests = [(2, ("a", "b")), (4, ("a", "b")), (2, ("b",)), (2, ("b", "a")), (4, ("b", "a")), (2, ("b",))]
    found = await asyncio.gather(*(each.run(picture(1, side), names, LONG_S) for side, names in requests))
    assert [set(done.arrays) for done in found] == [set(names) for _, names in requests]
    assert net.batches == [2, 2, 2]


async def test_one_bad_picture_costs_no_other(net, pool):
    each = batcher(net, pool)
    found = await asyncio.gather(
        *(each.run(picture(value), FEATURES, LONG_S) for value in (1, 255, 3, 4)), return_exceptions=True
    )
    assert isinstance(found[1], InvalidRequestError)
    assert [float(found[index].arrays["pooled"][0, 0]) for index in (0, 2, 3)] == [1, 3, 4]
    assert net.batches == [4, 1, 1, 1, 1]
    assert each.stats.retried == 1


async def test_one_who_goes_leaves_an_open_batch(net, pool):
    each = batcher(net, pool, max_batch=2)
    gone, *_ = await begun(each.run(picture(1), FEATURES, LONG_S))
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await asyncio.gather(*(each.run(picture(value), FEATURES, LONG_S) for value in (2, 3)))
    assert net.batches == [2]


async def test_a_closed_batch_runs_for_those_who_still_wait_and_for_nobody_not_at_all(net, pool):
    each = batcher(net, pool, max_batch=2)
    net.open.clear()
    running = await begun(*(each.run(picture(value), FEATURES, LONG_S) for value in (1, 2)))
    assert await asyncio.to_thread(net.entered.wait, 10)
    waiting, given_up = [
        await begun(*(each.run(picture(value), FEATURES, LONG_S) for value in (1, 2))) for _ in range(2)
    ]
    waiting[0].cancel()
    for task in given_up:
        task.cancel()
    await asyncio.gather(waiting[0], *given_up, return_exceptions=True)
    for _ in range(5):
        await asyncio.sleep(0)
    assert sum(pool.load.waiting.values()) == 1
    net.open.set()
    await asyncio.gather(*running, waiting[1])
    assert net.batches == [2, 1]


async def test_one_whose_time_is_over_is_told_so(net, pool):
    each = batcher(net, pool)
    net.open.clear()
    with pytest.raises(DeadlineError):
        await each.run(picture(1), FEATURES, 0.03)
    net.open.set()


async def test_pictures_in_the_batcher_are_bounded(net, pool):
    each = batcher(net, pool, max_held=1)
    with each.place(), pytest.raises(QueueFullError), each.place():
        pass
    with each.place():
        pass


@pytest.mark.parametrize(("cost_of_one_more", "helps"), [(0, True), (1, False)])
def test_batches_are_used_where_a_measurement_says_that_they_help(monkeypatch, cost_of_one_more, helps):
    clock = stopped_clock(monkeypatch)

    def run(pixels: np.ndarray, features: Sequence[str]) -> dict[str, np.ndarray]:
        clock.now += 0.01 * (1 + cost_of_one_more * (len(pixels) - 1))
        return {}

    assert batches_help(run, picture(0), FEATURES, 8) is helps


class Clock:
    now = 0.0


def stopped_clock(monkeypatch) -> Clock:
    """A clock that stands still but for what the test adds."""
    clock = Clock()
    monkeypatch.setattr("trunkline.backbone.batching.time.perf_counter", lambda: clock.now)
    return clock
