"""Messages begin in turns: so many bytes at a time, one connection after the other, and none while it is closed."""

import asyncio

import pytest

from trunkline.core.errors import MemoryFullError
from trunkline.serving import turns as module
from trunkline.serving.turns import Turns


class Callers:
    """Calls that note when they may begin."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.begun: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *names: str, most_bytes: int = 10) -> None:
        """A name is that of a connection and a number, as in a1."""
        self.tasks += [asyncio.create_task(self._begin(name, most_bytes)) for name in names]
        await self.settle()

    async def _begin(self, name: str, most_bytes: int) -> None:
        await self.turns.begin(most_bytes, name[0])
        self.begun.append(name)

    async def end(self, count: int = 1) -> None:
        for _ in range(count):
            self.turns.end(10)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def callers():
    made = Callers(Turns(30))
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_so_many_bytes_are_under_way_and_no_more(callers):
    await callers.come("a1", "a2", "a3", "a4", "a5")
    assert callers.begun == ["a1", "a2", "a3"]
    assert callers.turns.is_awaited
    await callers.end(2)
    assert callers.begun == ["a1", "a2", "a3", "a4", "a5"]
    assert not callers.turns.is_awaited


async def test_one_that_is_larger_than_all_room_begins_alone(callers):
    await callers.come("a1", most_bytes=100)
    await callers.come("a2")
    assert callers.begun == ["a1"]
    callers.turns.end(100)
    await callers.settle()
    assert callers.begun == ["a1", "a2"]


async def test_connections_take_turns(callers):
    await callers.come(*(f"a{number}" for number in range(8)), "b1", "b2")
    assert callers.begun == ["a0", "a1", "a2"]
    await callers.end(3)
    assert callers.begun[3:] == ["a3", "b1", "a4"]


async def test_none_begins_while_it_is_closed(callers):
    callers.turns.allow(False)
    await callers.come("a1")
    assert not callers.begun
    callers.turns.allow(True)
    await callers.settle()
    assert callers.begun == ["a1"]


async def test_a_call_that_ends_while_it_waits_takes_no_turn(callers):
    await callers.come("a1", "a2", "a3", "a4", "a5")
    callers.tasks[3].cancel()
    await callers.settle()
    await callers.end()
    assert callers.begun == ["a1", "a2", "a3", "a5"]


async def test_a_call_that_ends_as_its_turn_comes_gives_it_on(callers):
    await callers.come("a1", "a2", "a3", "a4", "a5")
    callers.turns.end(10)
    callers.tasks[3].cancel()
    await callers.settle()
    assert callers.begun == ["a1", "a2", "a3", "a5"]


async def test_who_waits_too_long_is_told_to_come_again(callers):
    await callers.come("a1", "a2", "a3")
    with pytest.raises(MemoryFullError, match="was not read") as refused:
        await callers.turns.begin(10, lambda: "a", 0.05)
    assert refused.value.retry_after_s > 0
    assert not callers.turns.is_awaited


async def test_so_many_wait_and_no_more(callers, monkeypatch):
    monkeypatch.setattr(module, "_MOST_WAITING", 2)
    await callers.come("a1", "a2", "a3", "a4", "a5")
    with pytest.raises(MemoryFullError):
        await callers.turns.begin(10, lambda: "b")


async def test_a_stream_waits_for_as_long_as_it_takes(callers, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    await callers.come("a1", "a2", "a3")
    waiting = asyncio.create_task(callers.turns.begin(10, lambda: "a", None))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await callers.end()
    await waiting
