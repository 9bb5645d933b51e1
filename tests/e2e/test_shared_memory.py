"""Real processes that share features, and what is left when they are killed."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import Server, start_server
from tests.service.bundles import add_map_head, linked_repository
from trunkline.client import Client, ServiceError

RETRIABLE = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
PASS_BYTES = 3_000_000  # c2 to c5 of 512x512


@pytest.fixture
def store(models, tmp_path) -> Path:
    repository = linked_repository(models, tmp_path)
    add_map_head(repository, "maps", ["c2", "c3", "c4", "c5"], 512)
    return repository


def service(server: Server, *words: str) -> psutil.Process:
    """The process of the split form whose command has these words."""
    children = psutil.Process(server.process.pid).children()
    return next(child for child in children if set(words) <= set(child.cmdline()))


def folder_of(server: Server) -> Path:
    return Path(service(server, "backbone").environ()["TRUNKLINE_SHARED_MEMORY"])


def taken_bytes(folder: Path) -> int:
    return sum(512 * path.stat().st_blocks for path in folder.glob("*.arena"))


class Load:
    """Callers in threads, each asks for `maps` again and again until the end."""

    def __init__(self, address: str, photo: Path, callers: int) -> None:
        self.results: set[object] = set()
        self.errors: list[tuple[str, str]] = []
        self.right = 0
        self._address, self._photo = address, photo.read_bytes()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, count: int) -> None:
        until, before = time.monotonic() + 120, self.right
        while self.right < before + count:
            assert time.monotonic() < until, self.errors[-3:]
            time.sleep(0.05)

    def _call(self) -> None:
        with Client(self._address) as client:
            while not self._stop.is_set():
                try:
                    self.results.add(client.regress(self._photo, head="maps", timeout_s=20).result)
                    self.right += 1
                except ServiceError as error:
                    self.errors.append((error.code, str(error)))
                    time.sleep(0.1)


@pytest.mark.slow
def test_killed_services_come_back_to_the_memory_and_no_answer_is_wrong(store, photos, tmp_path):
    with start_server(tmp_path / "log", "--split", "--models", str(store)) as server:
        folder = folder_of(server)
        with Load(server.address, photos[0], callers=4) as load:
            # The gateway hears of the backbone's memory when it asks the heads again, soon after the start.
            until = time.monotonic() + 60
            while taken_bytes(folder) < PASS_BYTES:
                assert time.monotonic() < until, "no features were shared"
                load.wait_for_answers(1)
            load.wait_for_answers(5)
            assert taken_bytes(folder) < 10 * PASS_BYTES
            for killed in (("head", "regression"), ("backbone",), ("gateway",)):
                os.kill(service(server, *killed).pid, signal.SIGKILL)
                time.sleep(0.5)
                load.wait_for_answers(12)
                assert len(list(folder.glob("*.arena"))) == 1, killed
                # What a killed gateway held waits for its lease; nothing else piles up.
                assert taken_bytes(folder) < 20 * PASS_BYTES
        assert len(load.results) == 1
        assert {code for code, _ in load.errors} <= RETRIABLE, load.errors
        assert server.stop() == 0
    assert not folder.exists()
