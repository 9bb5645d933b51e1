"""No process ends with a signal that nobody sent, however busy the machine is."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT, start_server
from trunkline.cli.local_service import LocalService
from trunkline.client import Client
from trunkline.core.errors import ConfigurationError

SERVICES = int(os.environ.get("TRUNKLINE_TEST_ENDS", "4"))


@contextmanager
def busy_machine(loops: int = 2):
    made = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for each in made:
            each.kill()
            each.wait()


def stopped_after_its_first_slow_head(log: Path, photo: Path, wait_s: float) -> tuple[int, str]:
    """Status and log of a service that is stopped while the second session of its slow head is being made."""
    with start_server(log, TRUNKLINE_HEADS="pennfudan") as server:
        with Client(server.address) as client:
            answer = client.analyze(photo, ["pennfudan"], timeout_s=120)
            assert answer["pennfudan"].value() is not None
        time.sleep(wait_s)
        return server.stop(), server.log


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_services_stopped_within_a_second_of_their_first_slow_head_call_end_with_0(tmp_path, samples):
    def one(index: int) -> tuple[int, str]:
        return stopped_after_its_first_slow_head(tmp_path / f"log{index}", samples / "camera.jpg", index % 4 / 4)

    with busy_machine(), ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(one, range(SERVICES)))
    assert [status for status, _ in ended] == [0] * SERVICES
    assert not [log for _, log in ended if "terminate called" in log]


def test_a_second_signal_ends_a_service_that_still_drains(tmp_path):
    with start_server(tmp_path / "log", TRUNKLINE_DRAIN_PAUSE_S="60", TRUNKLINE_HEADS="imagenet") as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=15) == 128 + signal.SIGTERM


def test_a_service_that_dies_while_it_is_asked_shows_what_it_said_last(capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    with LocalService("models") as service:
        os.kill(service._process.pid, signal.SIGABRT)
        service._process.wait(30)
    said = capfd.readouterr().err
    assert "was killed by SIGABRT" in said
    assert "all in one on" in said


def test_a_service_that_does_not_start_shows_what_it_said_last(tmp_path):
    expected = "ended with status 1: .*there is no backbone in .*: is that the model folder"
    with pytest.raises(ConfigurationError, match=expected), LocalService(str(tmp_path)):
        pass
