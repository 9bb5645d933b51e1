"""What is let into a queue: the estimate, and the rules that use it."""

import pytest

from trunkline.core.errors import DeadlineError, QueueFullError
from trunkline.serving.admission import LANES, Estimate, Lane, Load, Priority, check_time

REQUIRED, OPTIONAL = Lane(Priority.BACKBONE, False), Lane(Priority.BACKBONE, True)


def load(*, running: int = 2, **waiting: int) -> Load:
    """Two threads; `waiting` by lane, such as backbone=3 or head_optional=1."""
    counts = dict.fromkeys(LANES, 0)
    for name, count in waiting.items():
        counts[Lane(Priority[name.partition("_")[0].upper()], name.endswith("_optional"))] = count
    return Load(counts, {**dict.fromkeys(Priority, 0), Priority.BACKBONE: running}, threads=2)


@pytest.fixture
def estimate() -> Estimate:
    """Passes take 10 ms, heads 2 ms."""
    estimate = Estimate(threads=2)
    for _ in range(3):
        estimate.ran(Priority.HEAD, 0.002, passes_wait=False)
        estimate.ran(Priority.BACKBONE, 0.010, passes_wait=False)
    return estimate


def test_the_wait_follows_from_what_is_ahead(estimate):
    held = load(backbone=8)
    # Eight passes of 10 ms and half of each of the two that run, on two threads.
    assert estimate.wait_s(held.ahead_of(REQUIRED), held.running) == pytest.approx(0.045)
    assert estimate.rest_s(Priority.BACKBONE) == pytest.approx(0.012)  # its head comes after it


def test_heads_wait_for_heads_alone(estimate):
    held = load(backbone=8, head=2)
    lane = Lane(Priority.HEAD, False)
    assert estimate.wait_s(held.ahead_of(lane), held.running) == pytest.approx(0.007)


def test_heads_that_overtake_those_who_wait_are_part_of_the_wait():
    estimate = Estimate(threads=2)
    for _ in range(200):
        for _ in range(4):
            estimate.ran(Priority.HEAD, 0.005, passes_wait=True)
        estimate.ran(Priority.BACKBONE, 0.010, passes_wait=True)
    held = load(backbone=8)
    assert estimate.wait_s(held.ahead_of(REQUIRED), held.running) == pytest.approx(8 * 0.030 / 2 + 0.005, rel=0.01)


def test_work_that_cannot_be_done_in_time_is_refused_with_a_hint(estimate):
    check_time(load(backbone=8), REQUIRED, estimate, left_s=0.1)
    with pytest.raises(QueueFullError, match=r"work for 0\.04 s is waiting, too much for the 0\.05 s") as caught:
        check_time(load(backbone=8), REQUIRED, estimate, left_s=0.05)
    assert caught.value.retry_after_s == pytest.approx(0.045)


def test_work_without_a_deadline_is_refused_by_the_bound_alone(estimate):
    check_time(load(backbone=1000), REQUIRED, estimate, left_s=None)


def test_a_deadline_that_is_over_is_no_matter_of_the_queue(estimate):
    with pytest.raises(DeadlineError):
        check_time(load(running=0), REQUIRED, estimate, left_s=0.0)


def test_where_a_thread_is_free_a_bad_mean_refuses_nothing():
    estimate = Estimate(threads=2)
    estimate.ran(Priority.BACKBONE, 60.0, passes_wait=False)
    check_time(load(running=1), REQUIRED, estimate, left_s=0.05)
    with pytest.raises(QueueFullError):
        check_time(load(running=2), REQUIRED, estimate, left_s=0.05)


def test_optional_work_is_refused_while_required_work_is_let_in(estimate):
    for held in (load(backbone=8), load(backbone_optional=8)):
        check_time(held, REQUIRED, estimate, left_s=0.1)
        with pytest.raises(QueueFullError):
            check_time(held, OPTIONAL, estimate, left_s=0.1)


def test_optional_heads_give_way_to_passes_that_wait(estimate):
    check_time(load(backbone=8), Lane(Priority.HEAD, False), estimate, left_s=0.05)
    with pytest.raises(QueueFullError):
        check_time(load(backbone=8), Lane(Priority.HEAD, True), estimate, left_s=0.05)


def test_required_work_does_not_wait_for_optional_work(estimate):
    check_time(load(backbone_optional=100), REQUIRED, estimate, left_s=0.05)
