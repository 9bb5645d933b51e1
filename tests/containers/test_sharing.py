"""Gateways share their calls evenly among backbones, also among those that are added."""

import time

import pytest

from tests.containers.load import Caller
from tests.containers.stack import stack

pytestmark = pytest.mark.containers

RATE = 30.0


@pytest.mark.timeout(600)
def test_two_gateways_share_their_calls_evenly_among_three_backbones(network, capsys):
    """Each gateway takes them in turn, so shares differ by what is in flight and by calls that were tried again."""
    with stack(network, {"gateway": 2, "backbone": 3}) as made:
        before = made.passes()
        calls = Caller(network, RATE, count=600).wait()
        shares = {name: count - before[name] for name, count in made.passes().items()}
    with capsys.disabled():
        print(calls.told("\nthree backbones"), sorted(shares.values()))
    assert len(calls) == 600
    assert calls.failed == []
    assert sum(shares.values()) >= len(calls)
    assert max(shares.values()) / min(shares.values()) <= 1.2


@pytest.mark.timeout(600)
def test_backbones_that_are_added_get_their_part(network, capsys):
    """Connections end at their age, here after four seconds, and their addresses are then looked up again."""
    with stack(network, {"backbone": 1}, TRUNKLINE_CONNECTION_AGE_S="4") as made:
        caller = Caller(network, RATE)
        added = [made.add("backbone") for _ in range(2)]
        network.wait_serving(*added)
        time.sleep(6)
        before = made.passes()
        time.sleep(10)
        shares = {name: count - before[name] for name, count in made.passes().items()}
        calls = caller.stop()
    with capsys.disabled():
        print(calls.told("\ntwo backbones added to one"), sorted(shares.values()))
    assert calls.failed == []
    assert max(shares.values()) / min(shares.values()) <= 1.2
