"""SIGKILL of one of two: what was in flight is tried again with the other one."""

import time

import pytest

from tests.containers.load import Caller

pytestmark = pytest.mark.containers

RATE = 30.0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", ["head-classification", "backbone"])
def test_sigkill_of_one_of_two_costs_no_call(service, pairs, capsys):
    """0 failed: a call that breaks off is UNAVAILABLE, and the service config tries it again, with the other one."""
    caller = Caller(pairs.pods, RATE)
    time.sleep(3)
    killed_at, victim = time.time(), pairs.running[service][0]
    pairs.pods.kill(victim)
    time.sleep(5)
    calls = caller.stop()
    pairs.forget(service, victim)
    pairs.pods.wait_serving(pairs.add(service))
    with capsys.disabled():
        print(
            calls.told(f"\nSIGKILL of one of two of {service}"),
            f"recovered in {calls.recovered_after_s(killed_at):.2f} s",
        )
    assert len(calls) >= 7 * caller.rate
    assert calls.failed == []
