"""The worker pool: order, bounds, cancelled and late work."""

import asyncio
import threading
import time

import pytest

from trunkline.core.errors import DeadlineError, InvalidImageError, QueueFullError, ServiceUnavailableError
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


class Steps:
    """A pass of two steps that gives way between them, the first one as long as the test wants."""

    def __init__(self, pool: WorkerPool, order: list[str]) -> None:
        self.first = Gate()
        self.pool, self.order = pool, order

    def __call__(self) -> str:
        self.order.append("decode")
        self.first()
        self.pool.give_way()
        self.order.append("pass")
        return "features"


async def in_steps(pool: WorkerPool, order: list[str], timeout_s: float | None = None) -> tuple[Steps, asyncio.Task]:
    steps = Steps(pool, order)
    task = asyncio.create_task(pool.run(steps, Priority.BACKBONE, timeout_s))
    await asyncio.to_thread(steps.first.entered.wait, 10)
    return steps, task


async def test_a_head_waits_for_a_step_of_a_pass_and_not_for_all_of_it(pool):
    order: list[str] = []
    steps, task = await in_steps(pool, order)
    heads = [
        asyncio.create_task(pool.run(lambda name=name: order.append(name), Priority.HEAD)) for name in ("one", "two")
    ]
    next_pass = asyncio.create_task(pool.run(lambda: order.append("next pass"), Priority.BACKBONE))
    await settle()
    steps.first.opened.set()
    assert (await task)[0] == "features"
    await asyncio.gather(*heads, next_pass)
    assert order == ["decode", "one", "two", "pass", "next pass"]


async def test_a_head_that_fails_at_the_step_of_a_pass_costs_that_pass_nothing(pool):
    def fail() -> None:
        raise InvalidImageError("no")

    steps, task = await in_steps(pool, [])
    head = asyncio.create_task(pool.run(fail, Priority.HEAD))
    await settle()
    steps.first.opened.set()
    with pytest.raises(InvalidImageError):
        await head
    assert (await task)[0] == "features"
    assert pool.held == 0
    assert pool.stats.ended == {"failed": 1, "done": 1}


async def test_time_that_was_lent_to_heads_is_no_time_of_the_pass(pool):
    began_at = time.perf_counter()
    steps, task = await in_steps(pool, [])
    head = asyncio.create_task(pool.run(lambda: time.sleep(0.4), Priority.HEAD))
    await settle()
    steps.first.opened.set()
    _, queue_ms = await head
    await task
    rest_s = time.perf_counter() - began_at - 0.4  # that nothing but the head can have taken
    assert pool.mean_s(Priority.HEAD) >= 0.4
    assert queue_ms / 1000 < rest_s
    assert pool.mean_s(Priority.BACKBONE) < rest_s


async def test_a_head_that_is_late_is_refused_at_a_step_too(pool):
    await pool.run(lambda: time.sleep(0.1), Priority.HEAD)
    order: list[str] = []
    steps, task = await in_steps(pool, order)
    late = asyncio.create_task(pool.run(lambda: order.append("late"), Priority.HEAD, timeout_s=0.3))
    waiting = asyncio.create_task(pool.run(lambda: order.append("head"), Priority.HEAD))
    await asyncio.sleep(0.2)
    steps.first.opened.set()
    with pytest.raises(QueueFullError):
        await late
    await asyncio.gather(task, waiting)
    assert order == ["decode", "head", "pass"]


async def test_a_head_is_left_to_a_thread_that_is_free():
    pool = WorkerPool(threads=2, max_held=8)
    try:
        ran_on: list[str] = []
        steps, task = await in_steps(pool, [])
        await pool.run(lambda: ran_on.append(threading.current_thread().name), Priority.HEAD)
        assert ran_on
        assert not steps.first.opened.is_set()
        steps.first.opened.set()
        await task
    finally:
        pool.close()


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_work_leaves_the_queue_when_its_caller_or_its_time_is_gone(pool):
    gate, holder = await hold(pool)
    cancelled = asyncio.create_task(pool.run(lambda: None, Priority.BACKBONE))
    late = asyncio.create_task(pool.run(lambda: None, Priority.BACKBONE, timeout_s=0.03))
    await settle()
    assert sum(pool.load.waiting.values()) == 2
    cancelled.cancel()
    await settle()
    assert sum(pool.load.waiting.values()) == 1
    with pytest.raises(DeadlineError, match="waited"):
        await late
    assert not any(pool.load.waiting.values())
    assert not gate.opened.is_set()
    gate.opened.set()
    await holder
    assert pool.stats.ended == {"cancelled": 1, "expired": 1, "done": 1}


async def teach(pool: WorkerPool, seconds: float) -> None:
    """Let the pool measure passes of this length."""
    await pool.run(lambda: time.sleep(seconds), Priority.BACKBONE)


async def test_work_that_would_come_too_late_is_refused_before_it_waits(pool):
    await teach(pool, 0.1)
    gate, holder = await hold(pool)
    waiting = asyncio.create_task(pool.run(lambda: 1, Priority.BACKBONE, timeout_s=20))
    await settle()
    with pytest.raises(QueueFullError, match=r"is waiting, too much for the 0\.15 s") as caught:
        await pool.run(lambda: None, Priority.BACKBONE, timeout_s=0.15)
    assert caught.value.retry_after_s >= 0.1
    gate.opened.set()
    await holder
    assert (await waiting)[0] == 1
    assert pool.stats.refused == {"late": 1}


async def test_work_that_waited_too_long_to_be_done_in_time_makes_way(pool):
    gate, holder = await hold(pool)
    ran: list[int] = []
    tasks = [
        asyncio.create_task(pool.run(lambda name=name: ran.append(name), Priority.BACKBONE, timeout_s=20))
        for name in (1, 2)
    ]
    await settle()
    pool._estimate.ran(Priority.BACKBONE, 30.0, passes_wait=False)  # passes have got slower meanwhile
    gate.opened.set()
    await holder
    with pytest.raises(QueueFullError):
        await tasks[0]
    await tasks[1]  # nobody waits any more whom it could hold up
    assert ran == [2]


async def test_after_a_bad_time_work_is_let_in_again(pool):
    pool._estimate.ran(Priority.BACKBONE, 30.0, passes_wait=False)
    assert (await pool.run(lambda: 5, Priority.BACKBONE, timeout_s=2))[0] == 5
    assert pool.mean_s(Priority.BACKBONE) < 30


async def test_a_deadline_that_is_over_is_refused_without_a_turn(pool):
    with pytest.raises(DeadlineError):
        await pool.run(lambda: None, Priority.BACKBONE, timeout_s=0)


async def test_required_work_goes_before_optional_work(pool):
    gate, holder = await hold(pool)
    order: list[str] = []
    lanes = [("optional", Priority.BACKBONE), ("required", Priority.BACKBONE), ("optional", Priority.HEAD)]
    tasks = [
        asyncio.create_task(
            pool.run(lambda name=f"{kind} {priority.name}": order.append(name), priority, required=kind == "required")
        )
        for kind, priority in lanes
    ]
    await settle()
    gate.opened.set()
    await asyncio.gather(holder, *tasks)
    assert order == ["optional HEAD", "required BACKBONE", "optional BACKBONE"]


async def test_optional_work_has_half_of_the_places_and_gives_them_up(pool):
    gate, holder = await hold(pool)  # the first of eight places
    optional = [asyncio.create_task(pool.run(lambda: 0, Priority.BACKBONE, required=False)) for _ in range(3)]
    await settle()
    with pytest.raises(QueueFullError):
        await pool.run(lambda: None, Priority.BACKBONE, required=False)
    required = [asyncio.create_task(pool.run(lambda: 1, Priority.BACKBONE)) for _ in range(7)]
    await settle()
    with pytest.raises(QueueFullError, match="8 pieces of work are held"):
        await pool.run(lambda: None, Priority.BACKBONE)
    gate.opened.set()
    await holder
    assert [(await task)[0] for task in required] == [1] * 7
    refused = await asyncio.gather(*optional, return_exceptions=True)
    assert [type(error) for error in refused] == [QueueFullError] * 3
    assert pool.stats.refused == {"pressure": 1, "evicted": 3, "full": 1}


async def test_a_queue_full_of_passes_refuses_no_head(pool):
    gate, holder = await hold(pool)
    passes = [asyncio.create_task(pool.run(lambda: 1, Priority.BACKBONE)) for _ in range(7)]
    await settle()
    head = asyncio.create_task(pool.run(lambda: 2, Priority.HEAD))
    await settle()
    gate.opened.set()
    await asyncio.gather(holder, *passes)
    assert (await head)[0] == 2


async def test_closing_ends_what_runs_and_cancels_what_waits():
    pool = WorkerPool(threads=1, max_held=8)
    gate, holder = await hold(pool)
    waiting = asyncio.create_task(pool.run(lambda: 1, Priority.BACKBONE))
    await settle()
    closing = asyncio.create_task(asyncio.to_thread(pool.close))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.opened.set()
    await asyncio.gather(closing, holder)
    with pytest.raises(ServiceUnavailableError):
        await pool.run(lambda: 1, Priority.BACKBONE)
