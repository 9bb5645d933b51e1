"""Versions with real processes: one target for answers and catalog, and a state that outlives the processes."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import start_server
from tests.e2e.test_lifecycle import head_process, health, wait_until
from tests.service.bundles import linked_repository
from tests.service.versions import known_answer, write_version
from trunkline.client import Client, ServiceError
from trunkline.core.catalog import pin_default

QUICK = {"TRUNKLINE_CATALOG_POLL_S": "0.1", "TRUNKLINE_REFRESH_S": "0.1"}


def test_a_promotion_through_the_gateway_of_the_split_form_outlives_its_head_service(models, tmp_path, photos):
    store = linked_repository(models, tmp_path)
    write_version(store, "dots", 1)
    pin_default(store, "dots")
    write_version(store, "dots", 2)
    with start_server(tmp_path / "log", "--split", "--models", str(store), **QUICK) as server:
        with Client(server.address) as client:
            assert client.classify(photos[0], "dots").version == "1"
            command = [sys.executable, "-m", "trunkline.cli.main", "models", "promote", "dots", "2", "--force"]
            done = subprocess.run(
                [*command, "--json", "--target", server.address], capture_output=True, check=True, timeout=60
            )
            assert json.loads(done.stdout)["default"] == 2
            wait_until(lambda: client.classify(photos[0], "dots").version == "2")
            old = head_process(server.process.pid).pid
            os.kill(old, signal.SIGKILL)
            wait_until(lambda: answers_after(client, photos[0], old, server.process.pid), timeout_s=60)
            answer = client.classify(photos[0], "dots")
            wait_until(lambda: health(server.address, "head/dots") == "SERVING")
        scores = {label.label: label.score for label in answer.result.labels}
        known = known_answer(store, "dots", 2, photos[0])
        assert answer.version == "2"
        assert scores == pytest.approx(known, abs=1e-5)
        assert server.stop() == 0


def answers_after(client: Client, photo, old: int, supervisor: int) -> bool:
    """Whether a new head process answers."""
    try:
        client.classify(photo, "dots", timeout_s=5)
    except ServiceError as error:
        assert error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")  # noqa: PT017 - one of two is right
        return False
    return head_process(supervisor).pid != old
