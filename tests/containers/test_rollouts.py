"""Deployments that are replaced under load while DNS gives answers of 30 seconds ago: not one call is lost."""

import os
import time

import pytest

pytest.importorskip("dnslib", reason="needs the name server of the dev extra: pip install dnslib")

from tests.containers.load import Caller, Calls
from tests.containers.pods import pods
from tests.containers.rollout import KEPT_S, FixedAddress, Rollout, Times, fixed_address
from tests.containers.stack import Stack, stack
from tests.service.nameserver import name_server

pytestmark = pytest.mark.containers

RATE = 40.0
CALLS = int(os.environ.get("TRUNKLINE_ROLLOUT_CALLS", "2000"))


@pytest.fixture
def kept(image, models):
    """A network whose name server keeps its answers."""
    with (
        name_server({}, KEPT_S, host="0.0.0.0", port=53) as names,
        pods(f"trunkline-{os.getpid()}-kept", image, models, names) as made,
    ):
        yield made


def replaced(made: Stack, service: str, address: FixedAddress | None = None) -> tuple[Calls, float]:
    """Calls during a rollout that begins just after an answer was kept, and how many seconds it took."""
    times = Times.of_the_chart()
    caller = Caller(made.pods, RATE, target=address.target if address else "dns:///gateway:8500")
    began_at = time.monotonic()
    time.sleep(2)
    assert made.pods.names is not None
    made.pods.names.refresh(service)
    took_s = Rollout(made, service, times, address).run()
    time.sleep(max(5.0, CALLS / caller.rate + 1 - (time.monotonic() - began_at)))
    return caller.stop(), took_s


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("service", ["gateway", "backbone", "head-classification"])
def test_a_rollout_loses_no_call_whatever_dns_has_kept(service, kept, capsys):
    with stack(kept, dict.fromkeys(("gateway", "backbone", "head-classification"), 2)) as made:
        calls, took_s = replaced(made, service)
    with capsys.disabled():
        print(calls.told(f"\nrollout of {service}"), f"{took_s:.0f} s")
    assert len(calls) >= CALLS
    assert calls.failed == []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("by", ["headless name", "fixed address"])
def test_the_only_gateway_is_replaced_and_no_call_is_lost(by, kept, capsys):
    with stack(kept) as made, fixed_address(kept, "gateway") as address:
        calls, took_s = replaced(made, "gateway", address if by == "fixed address" else None)
    with capsys.disabled():
        print(calls.told(f"\nthe only gateway, {by}"), f"{took_s:.0f} s")
    assert len(calls) >= CALLS
    assert calls.failed == []
