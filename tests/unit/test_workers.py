"""The worker pool: order, bounds, cancelled and late work."""

import asyncio
import threading

import pytest

from trunkline.core.errors import DeadlineError, InvalidImageError, QueueFullError
from trunkline.serving.workers import Priority, WorkerPool


@pytest.fixture
def pool():
    pool = WorkerPool(threads=1, max_held=8)
    yield pool
    pool.close()


class Gate:
    """Work that holds its thread until it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.opened.wait(10)


async def hold(pool: WorkerPool) -> tuple[Gate, asyncio.Task]:
    gate = Gate()
    task = asyncio.create_task(pool.run(gate, Priority.BACKBONE))
    await asyncio.to_thread(gate.entered.wait, 10)
    return gate, task


async def test_work_comes_back_with_the_time_it_waited(pool):
    gate, holder = await hold(pool)
    task = asyncio.create_task(pool.run(lambda: 7, Priority.BACKBONE))
    await asyncio.sleep(0.05)
    gate.opened.set()
    result, queue_ms = await task
    await holder
    assert result == 7
    assert queue_ms >= 45


async def test_heads_go_before_backbone_passes(pool):
    gate, holder = await hold(pool)
    order: list[str] = []
    tasks = [
        asyncio.create_task(pool.run(lambda: order.append("pass"), Priority.BACKBONE)),
        asyncio.create_task(pool.run(lambda: order.append("head"), Priority.HEAD)),
    ]
    await asyncio.sleep(0.05)
    gate.opened.set()
    await asyncio.gather(holder, *tasks)
    assert order == ["head", "pass"]


async def test_too_much_work_is_refused_at_once_with_a_hint(pool):
    gate, holder = await hold(pool)
    tasks = [asyncio.create_task(pool.run(lambda: None, Priority.BACKBONE)) for _ in range(7)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError) as caught:
        await pool.run(lambda: None, Priority.BACKBONE)
    assert caught.value.retry_after_s > 0
    gate.opened.set()
    await asyncio.gather(holder, *tasks)
    assert (await pool.run(lambda: 1, Priority.BACKBONE))[0] == 1


async def test_cancelled_work_is_never_run_and_frees_its_place(pool):
    gate, holder = await hold(pool)
    ran: list[int] = []
    tasks = [asyncio.create_task(pool.run(lambda: ran.append(1), Priority.BACKBONE)) for _ in range(7)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last = asyncio.create_task(pool.run(lambda: 2, Priority.BACKBONE))
    await asyncio.sleep(0)
    gate.opened.set()
    assert (await last)[0] == 2
    await holder
    assert not ran


async def test_work_whose_time_is_over_is_not_run(pool):
    gate, holder = await hold(pool)
    ran: list[int] = []
    task = asyncio.create_task(pool.run(lambda: ran.append(1), Priority.BACKBONE, timeout_s=0.02))
    await asyncio.sleep(0.06)
    gate.opened.set()
    with pytest.raises(DeadlineError):
        await task
    await holder
    assert not ran


async def test_an_error_reaches_its_caller_and_the_thread_lives_on(pool):
    def fail() -> None:
        raise InvalidImageError("no")

    with pytest.raises(InvalidImageError):
        await pool.run(fail, Priority.BACKBONE)
    assert (await pool.run(lambda: 3, Priority.HEAD))[0] == 3
