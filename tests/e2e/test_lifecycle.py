"""Start, drain, death and rebirth of real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.conftest import ROOT, Server, free_port, start_server
from trunkline.client import AsyncClient, Client, ServiceError


def health(address: str, name: str = "") -> str:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


@pytest.mark.parametrize("name", ["", "live", "trunkline.api.vision.v1.VisionService", "head/imagenet"])
def test_the_process_each_service_and_each_head_have_health(either_form, name):
    assert health(either_form.address, name) == "SERVING"


async def test_sigterm_finishes_what_is_in_flight(tmp_path, photos):
    data = photos[0].read_bytes()
    with start_server(tmp_path / "log", TRUNKLINE_HEADS="imagenet") as server:
        async with AsyncClient(server.address) as client:
            await client.list_heads()  # so that the connection stands, however busy the machine is
            calls = [asyncio.create_task(client.classify(data)) for _ in range(40)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)  # all have been sent together
            assert sum(call.done() for call in calls) < 40
            server.process.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*calls)
        assert await asyncio.to_thread(server.process.wait, 30) == 0
    assert len(answers) == 40
    assert len({answer.result for answer in answers}) == 1


def test_not_serving_is_shown_before_calls_are_refused(tmp_path, photos):
    with start_server(tmp_path / "log", TRUNKLINE_DRAIN_PAUSE_S="1.5", TRUNKLINE_HEADS="imagenet") as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert health(server.address) == "NOT_SERVING"
        with Client(server.address) as client:
            assert client.classify(photos[0]).result.labels
        assert server.process.wait(timeout=30) == 0


def test_a_second_server_on_the_same_port_fails_with_one_clear_line(target):
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", "--address", target]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"cannot listen on {target}" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_missing_model_folder_fails_with_what_to_do(tmp_path):
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", "--models", str(tmp_path / "none")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "--models DIR" in found.stderr


def wait_until(condition, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not within time"
        time.sleep(0.1)


def test_a_head_whose_service_is_gone_shows_not_serving_and_its_calls_are_unavailable(tmp_path, photos):
    with split_of_one_head(tmp_path) as server, Client(server.address) as client:
        psutil.Process(head_process(server.process.pid).pid).suspend()
        wait_until(lambda: health(server.address, "head/imagenet") == "NOT_SERVING")
        done = client.analyze(photos[0], ["imagenet"], timeout_s=3)
        psutil.Process(head_process(server.process.pid).pid).resume()
        wait_until(lambda: health(server.address, "head/imagenet") == "SERVING")
        assert client.classify(photos[0]).result.labels
    assert done.outcomes[0].error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


@pytest.mark.slow
def test_calls_of_a_head_whose_service_has_been_silent_for_a_while_are_answered_quickly(tmp_path, photos):
    with split_of_one_head(tmp_path) as server, Client(server.address) as client:
        frozen = psutil.Process(head_process(server.process.pid).pid)
        frozen.suspend()
        wait_until(lambda: health(server.address, "head/imagenet") == "NOT_SERVING", 30)
        time.sleep(4)
        took_s = []
        for _ in range(5):
            began_at = time.monotonic()
            done = client.analyze(photos[0], ["imagenet"], timeout_s=30)
            took_s.append(time.monotonic() - began_at)
            assert done["imagenet"].error.code == "UNAVAILABLE"
        assert max(took_s) < 8, took_s  # 30 s without: the deadline
        frozen.resume()
        wait_until(lambda: health(server.address, "head/imagenet") == "SERVING", 30)
        assert client.classify(photos[0], timeout_s=30).result.labels


def split_of_one_head(folder: Path) -> AbstractContextManager[Server]:
    """A few processes: each task has one of its own."""
    return start_server(folder / "log", "--split", TRUNKLINE_HEADS="imagenet")


def head_process(supervisor: int) -> psutil.Process:
    children = psutil.Process(supervisor).children()
    return next(child for child in children if "head" in child.cmdline())


def test_a_killed_head_service_is_started_again_and_answers(tmp_path, photos):
    with split_of_one_head(tmp_path) as server, Client(server.address) as client:
        assert client.classify(photos[0]).result.labels
        os.kill(head_process(server.process.pid).pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        failures = []
        while time.monotonic() < deadline:
            try:
                client.classify(photos[0], timeout_s=5)
            except ServiceError as error:
                failures.append(error)
                time.sleep(0.1)
            else:
                break
        assert client.classify(photos[0]).result.labels
        wait_until(lambda: health(server.address, "head/imagenet") == "SERVING")
        assert {error.code for error in failures} <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
        assert server.stop() == 0


def is_live(address: str) -> bool:
    try:
        return health(address, "live") == "SERVING"
    except grpc.RpcError:
        return False


def test_a_gateway_without_services_behind_it_is_not_ready(tmp_path):
    address, nobody = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", "gateway", "--address", address]
    environment = {
        **os.environ,
        "TRUNKLINE_BACKBONE_ADDRESS": nobody,
        "TRUNKLINE_HEAD_ADDRESSES": nobody,
        "TRUNKLINE_DRAIN_PAUSE_S": "0",
    }
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: is_live(address), 60)
            with Client(address) as client:
                with pytest.raises(ServiceError, match="ready"):
                    client.wait_ready(timeout_s=4)
                with pytest.raises(ServiceError) as caught:
                    client.classify(b"x", head="imagenet")
            assert caught.value.code == "UNAVAILABLE"
            # Who restarts what is not live must not restart what waits for others.
            assert (health(address), health(address, "live")) == ("NOT_SERVING", "SERVING")
        finally:
            process.terminate()
