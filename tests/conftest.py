"""Real servers for the tests: one all-in-one process and one split form, each started once."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.postgresql import PostgreSQL, private_postgresql
from tests.s3 import S3, private_s3
from trunkline.client import Client
from trunkline.core.cpu import available_cores

ROOT = Path(__file__).parents[1]
# As trunkline.training sets it, for tests that import torch before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
READY_WITHIN_S = 120  # on a machine that is busy with more
MOST_WORKERS = 4
WORKER_BYTES = 3 << 30  # torch, an all-in-one server, the split form, and a training
# A shell without job control, as of `nohup make test &`, has its jobs ignore SIGINT, and so would all processes that
# tests start and interrupt: what is ignored stays ignored over exec, a handler does not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Many tests ask one server about the same pictures; without a cache each call computes what it asks for.
_ENVIRONMENT = {
    "TRUNKLINE_DRAIN_PAUSE_S": "0.2",
    "TRUNKLINE_TRAINING_JOBS": "0",
    "TRUNKLINE_FEATURE_CACHE_BYTES": "0",
    "TRUNKLINE_GALLERY_DATABASE": "",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core where there are several, as tests wait more than they compute, and as far as memory goes."""
    cores = available_cores()
    by_memory = psutil.virtual_memory().total // WORKER_BYTES
    return max(1, min(MOST_WORKERS, by_memory, 2 * cores if cores > 1 else 1))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: the worker that begins one late would end long after the others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def samples() -> Path:
    return ROOT / "tests/samples"


@pytest.fixture(scope="session")
def photos(samples: Path) -> list[Path]:
    return sorted(samples.glob("*.jpg"))


@pytest.fixture(scope="session")
def models() -> Path:
    return ROOT / "models"


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The folder of real data sets, or a skip that says how to name it."""
    named = os.environ.get("TRUNKLINE_DATASETS")
    if not named or not Path(named).is_dir():
        pytest.skip("needs real data: set TRUNKLINE_DATASETS to the folder of data sets")
    return Path(named)


class Server:
    """A `trunkline serve` process."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        self.process, self.address, self._log = process, address, log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def start_server(log: Path, *arguments: str, address: str = "", **environment: str) -> Iterator[Server]:
    """Start `trunkline serve ARGUMENTS`, on a free port, wait until it is ready, and stop it at the end."""
    address = address or f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", *arguments, "--address", address]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, **_ENVIRONMENT, **environment},
        )
    server = Server(process, address, log)
    try:
        with Client(address) as client:
            client.wait_ready(timeout_s=READY_WITHIN_S)
        yield server
    finally:
        if process.poll() is None:
            server.stop()


def _ports() -> Iterator[int]:
    """Below those that the system gives to connections; each worker has its own, so that none is taken meanwhile."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    first, count = 12_000 + 2_000 * worker, 2_000
    begin = random.randrange(count)  # so that two runs on one machine seldom meet
    for number in itertools.count(begin):
        yield first + 7 * number % count  # with the six above it, for who takes several in a row


_PORTS = _ports()


def free_port() -> int:
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("ports have no end")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A private PostgreSQL, or a skip that says what is missing."""
    with private_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A private S3 server, or a skip that says what is missing."""
    with private_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new, empty database: the same test against both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture(scope="session")
def all_in_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("all-in-one") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("split") / "log", "--split") as server:
        yield server


@pytest.fixture(scope="session")
def target(all_in_one: Server) -> str:
    return all_in_one.address


@pytest.fixture(scope="session", params=["all_in_one", "split"])
def either_form(request: pytest.FixtureRequest) -> Server:
    """The same test against both forms."""
    server: Server = request.getfixturevalue(request.param)
    return server
