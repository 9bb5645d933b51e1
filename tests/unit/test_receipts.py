"""Requests that are being received: what is over a limit ends, the oldest first."""

import asyncio
from types import SimpleNamespace

import pytest

from trunkline.serving import receipts
from trunkline.serving.budget import ByteBudget
from trunkline.serving.receipts import Receipts

MIB = 1024 * 1024


class Call:
    """A context that notes what it was ended with."""

    code = None

    def __init__(self, peer: str = "ipv4:127.0.0.1:1") -> None:
        self._peer = peer

    def peer(self) -> str:
        return self._peer

    def trailing_metadata(self) -> tuple[()]:
        return ()

    async def abort(self, code, message, details) -> None:
        self.code = code.name


class Memory:
    bytes = 100 * MIB

    def __call__(self) -> int:
        return self.bytes


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(receipts, "time", SimpleNamespace(monotonic=lambda: now[0]))  # the loop keeps its own
    return now


async def ended(calls: list[Call]) -> list[str | None]:
    await asyncio.sleep(0.01)
    return [call.code for call in calls]


async def begin(guard: Receipts, count: int, *, timed: bool = True, most_bytes: int = 1024) -> list[Call]:
    calls = [Call() for _ in range(count)]
    for call in calls:
        await guard.begin(call, most_bytes, timed=timed)
    return calls


async def waits(guard: Receipts, most_bytes: int, peer: str = "ipv4:127.0.0.1:2") -> bool:
    """Whether another message would have to wait."""
    try:
        async with asyncio.timeout(0.05):
            guard.end(await guard.begin(Call(peer), most_bytes, timed=True))
    except TimeoutError:
        return True
    return False


async def test_the_oldest_end_where_memory_grows_while_they_are_half_received(clock):
    memory, budget = Memory(), ByteBudget(64 * MIB)
    guard = Receipts(budget, memory)
    guard.look()
    calls = await begin(guard, 4)
    clock[0] += 1
    memory.bytes += 100 * MIB
    guard.look()
    assert await ended(calls) == ["RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", None, None]
    memory.bytes -= 80 * MIB
    assert guard.look()
    assert await ended(calls) == ["RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", None, None]


async def test_memory_of_requests_that_were_received_is_not_blamed_on_others(clock):
    memory, budget = Memory(), ByteBudget(64 * MIB)
    guard = Receipts(budget, memory)
    guard.look()
    calls = await begin(guard, 2)
    clock[0] += 1
    budget.hold(40 * MIB)
    memory.bytes += 60 * MIB
    guard.look()
    assert await ended(calls) == [None, None]


async def test_memory_that_was_there_before_is_not_blamed_on_them(clock):
    memory = Memory()
    guard = Receipts(ByteBudget(64 * MIB), memory)
    guard.look()
    memory.bytes += 500 * MIB
    clock[0] += 1
    guard.look()
    calls = await begin(guard, 2)
    clock[0] += 1
    guard.look()
    assert await ended(calls) == [None, None]


async def test_a_stream_that_is_silent_hides_nobody_and_goes_on(clock):
    memory = Memory()
    guard = Receipts(ByteBudget(64 * MIB), memory)
    streams = await begin(guard, 2, timed=False)
    for _ in range(200):
        clock[0] += 1
        guard.look()
    calls = await begin(guard, 2)
    clock[0] += 1
    memory.bytes += 100 * MIB
    guard.look()
    assert await ended(calls) == ["RESOURCE_EXHAUSTED", None]
    guard.look()
    assert await ended(calls) == ["RESOURCE_EXHAUSTED"] * 2
    assert await ended(streams) == [None, None]


async def test_streams_end_where_nothing_else_can_have_taken_the_memory(clock):
    memory = Memory()
    guard = Receipts(ByteBudget(64 * MIB), memory)
    guard.look()
    streams = await begin(guard, 2, timed=False)
    clock[0] += 1
    memory.bytes += 100 * MIB
    guard.look()
    assert await ended(streams) == ["RESOURCE_EXHAUSTED", None]


async def test_one_message_has_a_time_and_a_stream_has_none(clock):
    guard = Receipts(ByteBudget(64 * MIB), Memory())
    calls = [*await begin(guard, 1), *await begin(guard, 1, timed=False)]
    clock[0] += receipts.LONGEST_S + 1
    guard.look()
    assert await ended(calls) == ["DEADLINE_EXCEEDED", None]


async def test_so_many_are_half_received_and_no_more(clock, monkeypatch):
    monkeypatch.setattr(receipts, "MOST", 5)
    guard = Receipts(ByteBudget(64 * MIB), Memory())
    calls = await begin(guard, 8)
    guard.look()
    assert await ended(calls) == [None] * 8  # all of them have just begun
    clock[0] += 1
    guard.look()
    assert await ended(calls) == ["RESOURCE_EXHAUSTED"] * 3 + [None] * 5


async def sends(guard: Receipts, peer: str, count: int) -> None:
    receipt = await guard.begin(Call(peer), 5 * MIB, timed=True)
    guard.received(receipt, count)
    guard.end(receipt)


async def test_one_large_one_begins_between_two_looks(clock):
    guard = Receipts(ByteBudget(64 * MIB), Memory())
    guard.look()
    await begin(guard, 1, most_bytes=5 * MIB)
    assert await waits(guard, 5 * MIB)
    assert not await waits(guard, MIB)  # a method without pictures, as a health check
    clock[0] += 0.03
    guard.look()
    assert not await waits(guard, 5 * MIB)


async def test_large_ones_count_as_long_as_much_comes(clock):
    memory = Memory()
    guard = Receipts(ByteBudget(64 * MIB), memory)
    guard.look()
    await begin(guard, 1, most_bytes=5 * MIB)
    clock[0] += 0.03
    memory.bytes += 10 * MIB
    guard.look()
    assert await waits(guard, 5 * MIB)


async def test_no_large_one_begins_while_memory_has_grown_and_that_does_not_last(clock):
    memory = Memory()
    guard = Receipts(ByteBudget(64 * MIB), memory)
    guard.look()
    calls = await begin(guard, 1, most_bytes=5 * MIB)
    clock[0] += 0.03
    guard.look()
    calls += await begin(guard, 1, most_bytes=5 * MIB)
    clock[0] += 0.03
    memory.bytes += 20 * MIB
    guard.look()
    assert await waits(guard, 5 * MIB)
    assert not await waits(guard, MIB)
    clock[0] += 1
    guard.look()
    assert await ended(calls) == ["RESOURCE_EXHAUSTED", None]
    clock[0] += 1
    guard.look()
    assert await ended(calls) == ["RESOURCE_EXHAUSTED"] * 2
    clock[0] += 0.03
    guard.look()
    assert not await waits(guard, 5 * MIB)


async def test_who_sent_small_ones_alone_does_not_wait_behind_large_ones_of_others(clock):
    guard = Receipts(ByteBudget(64 * MIB), Memory())
    guard.look()
    await sends(guard, "small", MIB)
    await sends(guard, "large", 5 * MIB)
    await begin(guard, 1, most_bytes=5 * MIB)
    assert not await waits(guard, 5 * MIB, "small")
    assert await waits(guard, 5 * MIB, "large")
    assert await waits(guard, 5 * MIB, "unknown")


@pytest.mark.parametrize("how", ["a large one", "a slow one"])
async def test_who_sent_small_ones_is_trusted_until_another_comes(clock, how):
    guard = Receipts(ByteBudget(64 * MIB), Memory())
    guard.look()
    await sends(guard, "small", 1000)
    if how == "a large one":
        await sends(guard, "small", 5 * MIB)
    else:
        await guard.begin(Call("small"), MIB, timed=True)
        clock[0] += 1
        guard.look()
    await begin(guard, 1, most_bytes=5 * MIB)
    assert await waits(guard, 5 * MIB, "small")


async def test_a_stream_that_is_silent_does_not_make_its_sender_slow(clock):
    guard = Receipts(ByteBudget(64 * MIB), Memory())
    guard.look()
    await sends(guard, "small", 1000)
    await guard.begin(Call("small"), 5 * MIB, timed=False)
    clock[0] += 1
    guard.look()
    await begin(guard, 1, most_bytes=5 * MIB)
    assert not await waits(guard, 5 * MIB, "small")


async def test_nor_do_small_senders_begin_where_memory_has_grown_much(clock):
    memory = Memory()
    guard = Receipts(ByteBudget(64 * MIB), memory)
    guard.look()
    await sends(guard, "small", 1000)
    await begin(guard, 1, most_bytes=5 * MIB)
    clock[0] += 0.03
    memory.bytes += 20 * MIB
    guard.look()
    assert not await waits(guard, 5 * MIB, "small")
    memory.bytes += 10 * MIB
    guard.look()
    assert await waits(guard, 5 * MIB, "small")
