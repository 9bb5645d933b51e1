"""Refusing at the gateway what the service behind has just refused, by a clock that the test moves."""

import pytest

from trunkline.core.errors import QueueFullError
from trunkline.gateway.throttle import KEPT_S, LONGEST_PAUSE_S, PAUSE_SHARE, RUN, Throttle

WAIT_S = 0.2
PAUSE_S = PAUSE_SHARE * WAIT_S


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock) -> Throttle:
    return Throttle(clock)


def refused(throttle: Throttle, timeout_s: float | None = 0.5, times: int = RUN, wait_s: float = WAIT_S) -> None:
    for _ in range(times):
        error = QueueFullError("work is waiting", retry_after_s=wait_s, limit=7)
        throttle.refused(throttle.admit(timeout_s), timeout_s, error)


def test_after_a_run_of_refusals_calls_with_no_more_time_are_refused_with_the_same_words(throttle, clock):
    refused(throttle)
    clock.now += 0.01
    with pytest.raises(QueueFullError, match="work is waiting") as caught:
        throttle.admit(0.5)
    assert caught.value.retry_after_s == pytest.approx(WAIT_S - 0.01)
    assert caught.value.metadata == {"limit": "7"}
    with pytest.raises(QueueFullError):
        throttle.admit(0.1)


@pytest.mark.parametrize("timeout_s", [0.51, None])
def test_a_call_with_more_time_asks_for_itself(throttle, timeout_s):
    refused(throttle)
    throttle.admit(timeout_s)


def test_those_with_little_time_cost_the_others_nothing(throttle):
    for _ in range(RUN):
        refused(throttle, timeout_s=0.02, times=1)
        throttle.admit(0.5)  # sent between them, and not refused
    throttle.admit(0.02)
    refused(throttle, timeout_s=0.02)
    throttle.admit(0.5)


def test_fewer_or_others_between_them_refuse_nothing(throttle):
    refused(throttle, times=RUN - 1)
    throttle.admit(0.5)
    refused(throttle, times=RUN - 1)
    throttle.admit(0.5)


def test_the_pause_is_short_and_ends_with_one_that_asks(throttle, clock):
    refused(throttle)
    clock.now += PAUSE_S + 0.001
    ticket = throttle.admit(0.5)
    throttle.refused(ticket, 0.5, QueueFullError("still", retry_after_s=WAIT_S))  # the run goes on
    with pytest.raises(QueueFullError, match="still"):
        throttle.admit(0.5)
    clock.now += PAUSE_S + 0.001
    throttle.admit(0.5)  # this one is let in over there
    refused(throttle, times=RUN - 1)
    throttle.admit(0.5)


def test_a_long_wait_makes_no_long_pause(throttle, clock):
    refused(throttle, wait_s=1200.0)
    clock.now += LONGEST_PAUSE_S + 0.001
    throttle.admit(0.5)


def test_where_answers_come_from_what_is_kept_nothing_is_refused(throttle, clock):
    throttle.kept()
    refused(throttle)
    throttle.admit(0.5)
    clock.now += KEPT_S + 0.001
    refused(throttle)
    with pytest.raises(QueueFullError):
        throttle.admit(0.5)
