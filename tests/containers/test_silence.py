"""What does not answer and does not say so either: a frozen container, and a network that drops everything."""

import time

import pytest

from tests.containers.load import Caller

pytestmark = pytest.mark.containers

RATE = 20.0
TIMEOUT_S = 5.0
# A channel asks a silent peer for a sign of life every ten seconds and gives it ten to answer.
NOTICED_S = 20.0


def silence_one(pairs, service, silence, resume, capsys, what):
    """Calls that went to the silent replica end at their deadline; once it is noticed, all go to the other."""
    caller = Caller(pairs.pods, RATE, timeout_s=TIMEOUT_S)
    time.sleep(3)
    victim, happened_at = pairs.running[service][0], time.time()
    silence(victim)
    try:
        time.sleep(NOTICED_S + 8)
    finally:
        resume(victim)
    time.sleep(5)
    calls = caller.stop()
    recovered_s = calls.recovered_after_s(happened_at)
    with capsys.disabled():
        print(calls.told(f"\n{what}"), f"recovered in {recovered_s:.2f} s")
    assert len(calls) >= (NOTICED_S + 12) * caller.rate
    # A call ends when it said it would, whatever became of it.
    assert calls.longest_s() < TIMEOUT_S + 1
    assert set(calls.codes) <= {"OK", "DEADLINE_EXCEEDED", "UNAVAILABLE"}
    assert recovered_s <= NOTICED_S + 2
    # Half of the calls go to each replica.
    assert len(calls.failed) <= 0.6 * caller.rate * (NOTICED_S + 2)
    return calls


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", ["head-classification", "backbone"])
def test_a_frozen_container_is_left_out_once_it_is_noticed(service, pairs, capsys):
    silence_one(
        pairs,
        service,
        lambda name: pairs.pods.podman("pause", name),
        lambda name: pairs.pods.podman("unpause", name),
        capsys,
        f"one of two of {service} frozen",
    )


@pytest.mark.timeout(600)
def test_a_head_that_the_network_is_cut_off_from_is_left_out_once_it_is_noticed(pairs, capsys):
    rule = ("INPUT", "-p", "tcp", "--dport", "8502", "-j", "DROP")
    silence_one(
        pairs,
        "head-classification",
        lambda name: pairs.pods.in_network_of(name, "iptables", "-I", *rule),
        lambda name: pairs.pods.in_network_of(name, "iptables", "-D", *rule),
        capsys,
        "network cut to one of two heads",
    )
