"""All cores go to work that is alone, and never more threads run than there are cores."""

import contextlib
import threading
import time

import pytest

from trunkline.serving import turnstile as module
from trunkline.serving.turnstile import QUIET_S, Turnstile


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


def test_after_a_meeting_passes_stay_narrow_until_it_is_quiet(turnstile, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    other = Other(turnstile)
    with turnstile.entered(), turnstile.all_cores() as has_all:
        assert has_all
        other.start()
        while not turnstile_was_met(turnstile):
            time.sleep(0.001)
    other.runs.wait(10)
    other.end()
    now[0] += QUIET_S / 2
    assert not asks_alone(turnstile)
    now[0] += QUIET_S
    assert asks_alone(turnstile)


def turnstile_was_met(turnstile: Turnstile) -> bool:
    return turnstile._met_at == 100.0


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
