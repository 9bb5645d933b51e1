"""All cores go to work that is alone, and never more threads run than there are cores."""

import contextlib
import threading
import time

import pytest

from trunkline.serving.cores import Cores


@pytest.fixture
def cores() -> Cores:
    return Cores(cores=2)


class Other(threading.Thread):
    """A second piece of work; it runs until it is told to end."""

    def __init__(self, cores: Cores) -> None:
        super().__init__(daemon=True)
        self.cores = cores
        self.runs, self.may_end = threading.Event(), threading.Event()
        self.had_all = False

    def run(self) -> None:
        with self.cores.entered(), self.cores.all_cores() as self.had_all:
            self.runs.set()
            assert self.may_end.wait(10)

    def end(self) -> None:
        self.may_end.set()
        self.join(10)


def asks_alone(cores: Cores) -> bool:
    with cores.entered(), cores.all_cores() as has_all:
        return has_all


def test_work_that_is_alone_gets_all_cores_each_time(cores):
    assert [asks_alone(cores) for _ in range(3)] == [True, True, True]


def test_with_one_core_there_is_nothing_to_widen():
    assert not asks_alone(Cores(cores=1))


def test_work_beside_another_gets_its_own_core_and_both_run(cores):
    with cores.entered():
        other = Other(cores)
        other.start()
        assert other.runs.wait(10)
        with cores.all_cores() as has_all:
            assert not has_all
    other.end()
    assert not other.had_all


def test_what_comes_while_one_has_all_cores_waits_for_it(cores):
    other = Other(cores)
    with cores.entered():
        with cores.all_cores() as has_all:
            assert has_all
            other.start()
            assert not other.runs.wait(0.1)
        assert other.runs.wait(10)
    other.end()


def test_the_cores_are_given_back_when_the_work_fails(cores):
    with contextlib.suppress(ZeroDivisionError), cores.entered(), cores.all_cores():
        raise ZeroDivisionError
    assert asks_alone(cores)


def meet(cores: Cores, times: int) -> None:
    """So many passes that begin alone and are not when they end."""
    for _ in range(times):
        with cores.entered():
            other = Other(cores)
            with cores.all_cores(wanted=False):
                other.start()
                assert other.runs.wait(10)
        other.end()


def passes_until_wide(cores: Cores) -> int:
    return next(count for count in range(1000) if asks_alone(cores))


def test_one_meeting_among_passes_that_are_alone_changes_nothing(cores):
    asks_alone(cores)
    meet(cores, 1)
    assert asks_alone(cores)


def test_where_most_passes_meet_others_one_that_is_alone_stays_narrow(cores):
    meet(cores, 60)
    assert not asks_alone(cores)


def test_passes_are_wide_again_after_a_few_that_were_alone(cores):
    meet(cores, 60)
    assert 1 < passes_until_wide(cores) <= 8


def test_who_has_to_wait_for_a_wide_pass_counts_as_met(cores):
    widths = []
    for _ in range(60):
        other = Other(cores)
        with cores.entered(), cores.all_cores() as has_all:
            widths.append(has_all)
            other.start()
            while has_all and not cores._waiting:
                time.sleep(0.0002)
            if not has_all:
                assert other.runs.wait(10)
        other.end()
    assert all(widths[:5])
    assert not any(widths[-20:])


def test_a_pass_that_does_not_want_all_cores_leaves_them_to_others(cores):
    with cores.entered(), cores.all_cores(wanted=False) as has_all:
        assert not has_all
        other = Other(cores)
        other.start()
        assert other.runs.wait(10)
    other.end()


def test_threads_that_compute_never_outnumber_the_cores():
    count, computing, most = 3, [0], [0]
    cores, lock = Cores(count), threading.Lock()
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
            with cores.entered(), cores.all_cores() as has_all:
                compute(count if has_all else 1)
            time.sleep(0.003)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 <= most[0] <= count
