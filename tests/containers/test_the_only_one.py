"""SIGKILL of the only one, and a memory limit: what fails is bounded, and all is well once it is back."""

import time
from pathlib import Path

import pytest
from PIL import Image

from tests.containers.load import Caller
from tests.containers.stack import stack
from tests.containers.waiting import wait_until
from trunkline.client import Client, ServiceError

pytestmark = pytest.mark.containers

RATE = 30.0
RESTART_S = 1.0  # until a kubelet starts it again


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", ["head-classification", "backbone"])
def test_sigkill_of_the_only_one_fails_calls_until_it_is_back(service, network, capsys):
    """Failed are at most the calls due while it was away and their retries were used up; all say UNAVAILABLE."""
    with stack(network) as single:
        caller = Caller(network, RATE)
        time.sleep(3)
        killed_at, victim = time.time(), single.running[service][0]
        network.kill(victim)
        time.sleep(RESTART_S)
        network.restart(victim)
        network.wait_serving(victim)
        away_s = time.time() - killed_at
        time.sleep(6)
        calls = caller.stop()
    recovered_s = calls.recovered_after_s(killed_at)
    with capsys.disabled():
        print(
            calls.told(f"\nSIGKILL of the only {service}, away {away_s:.2f} s"), f"recovered in {recovered_s:.2f} s"
        )
    assert calls.failed, "nothing was away"
    assert set(calls.codes) <= {"OK", "UNAVAILABLE"}
    # Channels look for it again once a second.
    assert recovered_s < away_s + 2
    assert len(calls.failed) <= caller.rate * (away_s + 2)


def too_large(path: Path, number: int) -> Path:
    """A picture of 147 MB of pixels, each another one, so that kept features do not answer for it."""
    Image.new("RGB", (7000, 7000), (90, 20, number)).save(path)
    return path


@pytest.mark.timeout(600)
def test_a_memory_limit_kills_one_backbone_and_costs_the_picture_that_was_too_much_alone(network, tmp_path, capsys):
    """0 failed of the steady calls; the picture that was too much is not carried to the next backbone."""
    with stack(network, TRUNKLINE_CONNECTION_AGE_S="2") as made:
        small = made.add("backbone", memory="192m")
        network.wait_serving(small)
        caller = Caller(network, RATE / 2)
        wait_until(lambda: made.passes()[small] > 0, 60)
        answered, failed = 0, []
        with Client(network.address(made.running["gateway"][0])) as client:
            while network.state(small)["Running"]:
                picture = too_large(tmp_path / "large.png", answered)
                try:
                    assert client.classify(picture, "imagenet", timeout_s=30).result.labels
                    answered += 1
                except ServiceError as error:
                    failed.append(error)
                assert answered < 20, "nothing was too much for it"
        time.sleep(2)
        calls = caller.stop()
        state = network.state(small)
    with capsys.disabled():
        print(calls.told("\nkilled for memory"), f"{answered} large pictures answered, status {state['ExitCode']}")
    assert state["ExitCode"] == 137, "SIGKILL, which nobody sent but the kernel: not every runtime says OOMKilled"
    assert calls.failed == []
    assert ["ended while it worked on a large picture" in error.message for error in failed] == [True], failed
