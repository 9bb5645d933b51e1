"""Each process of the split form has a port that nobody else can take, and all end with the one that started them."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest

from tests.conftest import ROOT, Server, start_server
from tests.e2e.test_lifecycle import health, wait_until
from tests.service.jobs import has_ended
from trunkline.assembly.ports import kept_ports
from trunkline.client import Client, ServiceError, TrainingClient
from trunkline.core.errors import ConfigurationError

DRAIN_S = 3
QUICK = {"TRUNKLINE_HEADS": "imagenet,pets", "TRUNKLINE_DRAIN_S": str(DRAIN_S)}


@contextmanager
def listening(port: int = 0) -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def ended(processes: list[psutil.Process], within_s: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return all(has_ended(each) for each in alive)


def children_of(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def addresses_in(log: str) -> dict[str, str]:
    """Where the plan says that each process listens."""
    return dict(re.findall(r"trunkline: ([^:]+): serve .*--address (\S+)", log))


def lists_no_jobs(training: TrainingClient) -> bool:
    try:
        return not list(training.list())
    except ServiceError as error:
        if error.code != "UNAVAILABLE":
            raise
        return False


def test_every_process_has_a_port_of_its_own_that_only_it_can_take(tmp_path, photos):
    with (
        listening() as taken,
        start_server(
            tmp_path / "log",
            "--split",
            TRUNKLINE_TRAINING_JOBS="1",
            TRUNKLINE_TRAINING_ADDRESS=taken,
            TRUNKLINE_TRAINING_DATABASE=f"sqlite:///{tmp_path}/jobs.db",
            TRUNKLINE_TRAINING_WORK=str(tmp_path / "work"),
            **QUICK,
        ) as server,
    ):
        found = addresses_in(server.log)
        assert {"backbone", "catalog", "training", "gateway"} < set(found)
        assert len(set(found.values())) == len(found)
        assert taken not in found.values()
        with Client(server.address) as client, TrainingClient(server.address) as training:
            assert client.classify(photos[0]).result.labels
            wait_until(lambda: lists_no_jobs(training), 60)  # the gateway waits for heads alone
        head = next(process for process in children_of(server) if "head" in process.cmdline())
        words = head.cmdline()
        address = words[words.index("--address") + 1]
        head.kill()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", int(address.rpartition(":")[2])))
        wait_until(lambda: "was killed by SIGKILL: starting it again" in server.log)
        wait_until(lambda: health(server.address, "head/imagenet") == "SERVING", 60)
        assert server.stop() == 0


@pytest.mark.parametrize("option", ["--address", "--http"])
def test_a_port_of_the_gateway_that_is_taken_is_one_line(option, tmp_path):
    with listening() as taken:
        command = [sys.executable, "-m", "trunkline.cli.main", "serve", "--split", option, taken]
        if option != "--address":
            command += ["--address", "127.0.0.1:0"]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith(f"trunkline: cannot listen on {taken}: ")
    assert option in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_server_that_would_share_its_port_is_noticed():
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as gRPC servers do by default
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=f"cannot listen on {address}"), kept_ports(address, 0):
            pass


def test_processes_end_with_a_supervisor_that_is_killed(tmp_path):
    with start_server(tmp_path / "log", "--split", **QUICK) as server:
        children = children_of(server)
        server.process.kill()
        server.process.wait()
        assert len(children) >= 4
        assert ended(children, 60)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["gateway", "backbone", "head", "catalog"])
def test_a_stopped_process_is_killed_in_time(role, tmp_path, photos):
    with start_server(tmp_path / "log", "--split", **QUICK) as server:
        children = children_of(server)
        frozen = next(process for process in children if role in process.cmdline())
        frozen.suspend()
        with Client(server.address) as client, ThreadPoolExecutor(4) as callers:
            calls = [callers.submit(client.classify, photos[0], timeout_s=60) for _ in range(4)]
            time.sleep(0.5)  # so that some wait for the one that is frozen
            began_at = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began_at < DRAIN_S + 8 + 15
            failed = [call.exception(60) for call in calls]
        assert all(error is None or isinstance(error, ServiceError) for error in failed)
        assert ended(children, 5)
        assert "did not stop in time: killed" in server.log


def test_a_second_signal_ends_all_at_once(tmp_path):
    with start_server(tmp_path / "log", "--split", TRUNKLINE_DRAIN_PAUSE_S="100", TRUNKLINE_HEADS="pets") as server:
        children = children_of(server)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 128 + signal.SIGINT
        assert ended(children, 20)


def test_the_address_of_the_gateway_is_what_was_asked_whatever_its_form(tmp_path):
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::1]"):
        with kept_ports(f"{host}:0", 1) as (gateway, other):
            assert gateway.startswith(f"{host}:")
            assert not gateway.endswith(":0")
            assert gateway != other
    with kept_ports(f"unix:{tmp_path}/socket", 0) as (gateway,):
        assert gateway == f"unix:{tmp_path}/socket"
