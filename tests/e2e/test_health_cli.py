"""`trunkline health`, as a probe runs it: what counts is the exit status."""

import signal
import time

from tests.conftest import start_server
from tests.e2e.test_cli import NOBODY, run


def test_a_process_that_serves_has_status_0(target):
    for more in ([], ["--service", "head/imagenet"], ["--service", "trunkline.api.vision.v1.VisionService"]):
        done = run("health", target, *more)
        assert (done.returncode, done.stdout, done.stderr) == (0, "SERVING\n", "")


def test_a_process_that_drains_has_status_1(tmp_path):
    with start_server(tmp_path / "log", TRUNKLINE_DRAIN_PAUSE_S="8", TRUNKLINE_HEADS="imagenet") as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        done = run("health", server.address)
    assert (done.returncode, done.stdout, done.stderr) == (1, "NOT_SERVING\n", "")


def test_nobody_and_a_name_that_is_not_there_are_one_line_and_status_1(target):
    done = run("health", NOBODY, "--timeout", 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"trunkline: no service answers at {NOBODY}; start one with: trunkline serve\n"
    done = run("health", target, "--service", "head/none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"trunkline: {target} knows no service 'head/none'\n"
