"""Containers that end on SIGTERM and are replaced, under steady load: not one call is lost."""

import os
import time

import pytest

from tests.containers.load import Caller
from tests.containers.stack import COMPONENTS

pytestmark = pytest.mark.containers

RATE = 30.0  # calls a second, each of a backbone pass and two heads
CALLS = int(os.environ.get("TRUNKLINE_CONTAINER_CALLS", "1500"))
SERVING = ("backbone", "head-classification", "head-regression", "gateway")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", SERVING)
def test_sigterm_to_one_of_two_loses_no_call(service, pairs, capsys):
    """0 failed: what is in flight is finished, what comes meanwhile goes to the other replica."""
    caller = Caller(pairs.pods, RATE)
    time.sleep(2)
    pairs.end(service, pairs.running[service][0])
    time.sleep(3)
    calls = caller.stop()
    pairs.pods.wait_serving(pairs.add(service))
    with capsys.disabled():
        print(calls.told(f"\nSIGTERM to a {service}"))
    assert len(calls) >= 4 * caller.rate
    assert calls.failed == []


@pytest.mark.timeout(1800)
def test_replacing_every_service_under_load_loses_no_call(pairs, capsys):
    """0 failed: each new replica is ready before an old one is told to end, and that one finishes what it has begun.

    TRUNKLINE_CONTAINER_CALLS says how many calls there are to be at least.
    """
    caller = Caller(pairs.pods, RATE)
    started_at, replaced = time.monotonic(), 0
    while not replaced or time.monotonic() - started_at < CALLS / caller.rate:
        for service in COMPONENTS:
            replaced += len(pairs.running[service])
            pairs.replace(service)
    calls = caller.stop()
    with capsys.disabled():
        print(calls.told(f"\n{replaced} containers of {len(COMPONENTS)} services replaced"))
    assert len(calls) >= CALLS
    assert calls.failed == []
