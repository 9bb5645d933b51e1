"""A proxy between the gateways and a head service that delays some calls and aborts others."""

import pytest

from tests.containers.envoy import Faults, envoy
from tests.containers.load import Caller

pytestmark = pytest.mark.containers

RATE = 30.0
COUNT = 1050
FAULTS = Faults(delayed=30, delay_s=0.2, aborted=10)
# A call is sent three times at most, so one of 10 x 10 x 10 fails: 1 of 1050. More than 6 is once in 10,000 runs.
MOST_FAILED = 6


@pytest.mark.timeout(600)
def test_aborted_calls_are_tried_again_and_delayed_ones_only_take_longer(pairs, tmp_path, capsys):
    pods, heads = pairs.pods, [pairs.pods.address(name) for name in pairs.running["head-classification"]]
    before = pods.podman("network", "inspect", "--format={{(index .Subnets 0).Gateway}}", pods.network)
    with envoy(tmp_path, heads, FAULTS) as between:
        regression = "dns:///head-regression:8502"
        behind = pairs.add("gateway", TRUNKLINE_HEAD_ADDRESSES=f"{before}:{between.port},{regression}")
        pods.wait_serving(behind)
        calls = Caller(pods, RATE, target=pods.address(behind), count=COUNT).wait()
        aborted, delayed = between.count("fault.aborts_injected"), between.count("fault.delays_injected")
        pairs.end("gateway", behind)
    with capsys.disabled():
        print(calls.told("\nEnvoy"), f"{aborted} aborted and {delayed} delayed by it")
    assert len(calls) == COUNT
    # That many would have failed if they had not been tried again.
    assert aborted > len(calls) * 0.07
    assert delayed > len(calls) * 0.2
    assert set(calls.codes) <= {"OK", "UNAVAILABLE"}
    assert len(calls.failed) <= MOST_FAILED
