"""The limit on the bytes that requests hold."""

import pytest

from trunkline.core.errors import MemoryFullError
from trunkline.serving.budget import ByteBudget

MIB = 1024 * 1024


def test_bytes_are_held_until_they_are_released():
    budget = ByteBudget(100 * MIB)
    with budget.hold(10 * MIB) as held:
        held.add(5 * MIB)
        assert budget.held_bytes == 15 * MIB
    assert budget.held_bytes == 0
    held.release()
    assert budget.held_bytes == 0


def test_large_requests_leave_room_for_small_ones():
    budget = ByteBudget(100 * MIB)
    for _ in range(6):
        budget.hold(10 * MIB)
    with pytest.raises(MemoryFullError) as refused:
        budget.hold(10 * MIB)
    assert refused.value.retry_after_s > 0
    assert refused.value.reason == "MEMORY"
    for _ in range(40):
        budget.hold(MIB)
    with pytest.raises(MemoryFullError):
        budget.hold(MIB)
    assert budget.held_bytes == 100 * MIB


def test_a_refused_request_holds_what_it_held_before():
    budget = ByteBudget(10 * MIB)
    budget.hold(7 * MIB)
    with budget.hold(MIB) as held, pytest.raises(MemoryFullError):
        held.add(5 * MIB)
    assert budget.held_bytes == 7 * MIB


def test_a_request_that_is_alone_is_served_even_if_it_is_larger_than_the_budget():
    budget = ByteBudget(10 * MIB)
    with budget.hold(20 * MIB), pytest.raises(MemoryFullError):
        budget.hold(1)
    assert budget.hold(1).count == 1
