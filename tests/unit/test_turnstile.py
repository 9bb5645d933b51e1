"""All cores go to work that is alone, and never more threads run than there are cores."""

import contextlib
import threading
import time

import pytest

from trunkline.serving.turnstile import Turnstile


@pytest.fixture
def turnstile() -> Turnstile:
    return Turnstile(cores=2)


class Other(threading.Thread):
    """A second piece of work; it runs until it is told to end."""

    def __init__(self, turnstile: Turnstile) -> None:
        super().__init__(daemon=True)
        self.turnstile = turnstile
        self.runs, self.may_end = threading.Event(), threading.Event()
        self.had_all = False

    def run(self) -> None:
        with self.turnstile.entered(), self.turnstile.all_cores() as self.had_all:
            self.runs.set()
            assert self.may_end.wait(10)

    def end(self) -> None:
        self.may_end.set()
        self.join(10)


def asks_alone(turnstile: Turnstile) -> bool:
    with turnstile.entered(), turnstile.all_cores() as has_all:
        return has_all


def test_work_that_is_alone_gets_all_cores_each_time(turnstile):
    assert [asks_alone(turnstile) for _ in range(3)] == [True, True, True]


def test_with_one_core_there_is_nothing_to_widen():
    assert not asks_alone(Turnstile(cores=1))


def test_work_beside_another_gets_its_own_core_and_both_run(turnstile):
    with turnstile.entered():
        other = Other(turnstile)
        other.start()
        assert other.runs.wait(10)
        with turnstile.all_cores() as has_all:
            assert not has_all
    other.end()
    assert not other.had_all


def test_what_comes_while_one_has_all_cores_waits_for_it(turnstile):
    other = Other(turnstile)
    with turnstile.entered():
        with turnstile.all_cores() as has_all:
            assert has_all
            other.start()
            assert not other.runs.wait(0.1)
        assert other.runs.wait(10)
    other.end()


def test_the_cores_are_given_back_when_the_work_fails(turnstile):
    with contextlib.suppress(ZeroDivisionError), turnstile.entered(), turnstile.all_cores():
        raise ZeroDivisionError
    assert asks_alone(turnstile)


def meet(turnstile: Turnstile, times: int) -> None:
    """So many passes that begin alone and are not when they end."""
    for _ in range(times):
        with turnstile.entered():
            other = Other(turnstile)
            with turnstile.all_cores(wanted=False):
                other.start()
                assert other.runs.wait(10)
        other.end()


def passes_until_wide(turnstile: Turnstile) -> int:
    return next(count for count in range(1000) if asks_alone(turnstile))


def test_one_meeting_among_passes_that_are_alone_changes_nothing(turnstile):
    asks_alone(turnstile)
    meet(turnstile, 1)
    assert asks_alone(turnstile)


def test_where_most_passes_meet_others_one_that_is_alone_stays_narrow(turnstile):
    meet(turnstile, 60)
    assert not asks_alone(turnstile)


def test_passes_are_wide_again_after_a_few_that_were_alone(turnstile):
    meet(turnstile, 60)
    assert 1 < passes_until_wide(turnstile) <= 8


def test_who_has_to_wait_for_a_wide_pass_counts_as_met(turnstile):
    widths = []
    for _ in range(60):
        other = Other(turnstile)
        with turnstile.entered(), turnstile.all_cores() as has_all:
            widths.append(has_all)
            other.start()
            while has_all and not turnstile._waiting:
                time.sleep(0.0002)
            if not has_all:
                assert other.runs.wait(10)
        other.end()
    assert all(widths[:5])
    assert not any(widths[-20:])


def test_a_pass_that_does_not_want_all_cores_leaves_them_to_others(turnstile):
    with turnstile.entered(), turnstile.all_cores(wanted=False) as has_all:
        assert not has_all
        other = Other(turnstile)
        other.start()
        assert other.runs.wait(10)
    other.end()


def test_threads_that_compute_never_outnumber_the_cores():
    cores, computing, most = 3, [0], [0]
    turnstile, lock = Turnstile(cores), threading.Lock()
    ends_at = time.monotonic() + 1.0

    def compute(threads: int) -> None:
        with lock:
            computing[0] += threads
            most[0] = max(most[0], computing[0])
        time.sleep(0.002)
        with lock:
            computing[0] -= threads

    def work() -> None:
        while time.monotonic() < ends_at:
            with turnstile.entered(), turnstile.all_cores() as has_all:
                compute(cores if has_all else 1)
            time.sleep(0.003)

    threads = [threading.Thread(target=work) for _ in range(cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 <= most[0] <= cores
