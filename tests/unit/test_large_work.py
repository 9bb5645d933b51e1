"""Large pieces of work: they leave threads to the rest, and neither side starves."""

import asyncio
import threading
import time

import pytest

from trunkline.core.errors import DeadlineError, QueueFullError
from trunkline.core.shrink import LARGE_BYTES
from trunkline.core.steps import between_steps
from trunkline.serving.workers import Priority, WorkerPool

LARGE = 2 * LARGE_BYTES


@pytest.fixture(params=[1, 2])
def pool(request):
    pool = WorkerPool(threads=request.param, max_held=16)
    yield pool
    pool.close()


class Watch:
    """Work that takes its time and counts how many of its kind run at once."""

    def __init__(self) -> None:
        self.now = self.most = self.ended = 0
        self._lock = threading.Lock()

    def __call__(self, seconds: float = 0.05) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(seconds)
        with self._lock:
            self.now -= 1
            self.ended += 1


async def test_large_pieces_take_half_of_the_threads_and_small_ones_go_past_them():
    pool, watch, opened = WorkerPool(threads=2, max_held=64), Watch(), threading.Event()
    try:
        held = pool.run(lambda: opened.wait(20) and watch(0.0), Priority.BACKBONE, weight=LARGE)
        large = [asyncio.create_task(held)]
        large += [asyncio.create_task(pool.run(watch, Priority.BACKBONE, weight=LARGE)) for _ in range(11)]
        await asyncio.sleep(0.01)
        for _ in range(20):
            await pool.run(lambda: None, Priority.BACKBONE)
        assert watch.ended == 0
        opened.set()
        await asyncio.gather(*large)
    finally:
        pool.close()
    assert (watch.most, watch.ended) == (1, 12)


async def test_large_pieces_run_together_as_far_as_their_memory_goes():
    pool, heavy, light = WorkerPool(threads=8, max_held=64), Watch(), Watch()
    pool.bound_large(3 * LARGE)
    try:
        await asyncio.gather(*(pool.run(light, Priority.HEAD, weight=LARGE_BYTES + 1) for _ in range(12)))
        await asyncio.gather(*(pool.run(heavy, Priority.HEAD, weight=LARGE) for _ in range(9)))
    finally:
        pool.close()
    assert (light.most, heavy.most) == (4, 3)


async def test_one_that_is_above_the_memory_of_all_runs_alone():
    pool, watch = WorkerPool(threads=4, max_held=64), Watch()
    pool.bound_large(LARGE)
    try:
        await asyncio.gather(*(pool.run(watch, Priority.HEAD, weight=10 * LARGE) for _ in range(4)))
    finally:
        pool.close()
    assert watch.most == 1


async def test_under_a_steady_stream_of_small_ones_large_ones_get_their_turn(pool):
    """And the small ones theirs, with one thread too."""
    watch, small, ends = Watch(), 0, time.perf_counter() + 4
    large = [asyncio.create_task(pool.run(lambda: watch(0.2), Priority.BACKBONE, weight=LARGE)) for _ in range(3)]

    async def caller() -> int:
        count = 0
        while time.perf_counter() < ends:
            await pool.run(lambda: time.sleep(0.005), Priority.BACKBONE)
            count += 1
        return count

    small = sum(await asyncio.gather(*(caller() for _ in range(6))))
    assert watch.ended == 3
    assert small > 100
    await asyncio.gather(*large)


async def test_between_the_steps_of_a_large_piece_small_ones_have_their_turn():
    pool, order = WorkerPool(threads=1, max_held=16), []
    begun = threading.Event()

    def steps() -> None:
        ends_at = time.monotonic() + 20
        while len(order) < 3 and time.monotonic() < ends_at:
            begun.set()
            time.sleep(0.01)
            between_steps()
        order.append("large")

    try:
        large = asyncio.create_task(pool.run(steps, Priority.HEAD, weight=LARGE))
        await asyncio.to_thread(begun.wait, 10)
        for _ in range(3):
            await pool.run(lambda: order.append("small"), Priority.BACKBONE)
        await large
        assert order == ["small"] * 3 + ["large"]
        await pool.run(lambda: None, Priority.BACKBONE)  # the thread counts as free again
        assert pool.held == 0
    finally:
        pool.close()


async def test_the_means_of_small_pieces_know_nothing_of_large_ones(pool):
    await pool.run(lambda: None, Priority.BACKBONE)
    before = pool.mean_s(Priority.BACKBONE)
    await pool.run(lambda: time.sleep(0.3), Priority.BACKBONE, weight=LARGE)
    assert pool.mean_s(Priority.BACKBONE) == before


async def test_a_large_piece_that_cannot_be_done_in_time_is_refused_and_small_ones_are_not(pool):
    watch = Watch()
    await pool.run(lambda: watch(0.3), Priority.BACKBONE, weight=LARGE)
    large = [asyncio.create_task(pool.run(lambda: watch(0.3), Priority.BACKBONE, weight=LARGE)) for _ in range(3)]
    await asyncio.sleep(0.05)
    with pytest.raises(QueueFullError, match="too much for"):
        await pool.run(watch, Priority.BACKBONE, timeout_s=0.5, weight=LARGE)
    assert (await pool.run(lambda: 7, Priority.BACKBONE, timeout_s=5))[0] == 7
    await asyncio.gather(*large)


async def test_large_pieces_are_bounded_and_fill_no_place_of_others(pool):
    large = [asyncio.create_task(pool.run(Watch(), Priority.BACKBONE, weight=LARGE)) for _ in range(12)]
    await asyncio.sleep(0.02)
    refused = [task for task in large if task.done() and isinstance(task.exception(), QueueFullError)]
    assert len(refused) == 8
    assert (await pool.run(lambda: 1, Priority.BACKBONE))[0] == 1
    assert sum(isinstance(each, tuple) for each in await asyncio.gather(*large, return_exceptions=True)) == 4


async def test_large_pieces_leave_when_they_are_cancelled_or_their_time_is_over(pool):
    release, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        release.wait(10)

    first = asyncio.create_task(pool.run(hold, Priority.BACKBONE, weight=LARGE))
    await asyncio.to_thread(begun.wait, 10)
    ran: list[int] = []
    cancelled = asyncio.create_task(pool.run(lambda: ran.append(1), Priority.BACKBONE, weight=LARGE))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(DeadlineError):
        await pool.run(lambda: ran.append(2), Priority.BACKBONE, timeout_s=0.05, weight=LARGE)
    with pytest.raises(DeadlineError):
        await pool.run(lambda: ran.append(3), Priority.BACKBONE, timeout_s=0.0, weight=LARGE)
    release.set()
    await first
    await asyncio.gather(cancelled, return_exceptions=True)
    assert not ran
    assert pool.held == 0
