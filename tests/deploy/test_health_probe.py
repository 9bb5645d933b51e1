"""The client of exec probes: its source compiled, and asked about real services and about what is none."""

import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from tests.conftest import free_port, start_server
from tests.deploy.running import health_program

Ask = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def ask() -> Ask:
    """Runs the client as the image has it."""
    program = health_program()

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([str(program), *words], capture_output=True, text=True, check=False, timeout=30)

    return run


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Somebody who takes a connection and does this with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(20)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def test_a_process_that_serves_has_status_0(ask, target):
    port = target.rpartition(":")[2]
    for service in ("", "live", "head/imagenet", "trunkline.api.vision.v1.VisionService"):
        for address in (target, f"localhost:{port}"):
            done = ask(address, "--service", service, "--timeout", "5")
            assert (done.returncode, done.stdout, done.stderr) == (0, "SERVING\n", "")


def test_a_name_that_nobody_knows_has_status_1(ask, target):
    done = ask(target, "--service", "head/none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"trunkline-health: {target}: it knows no service 'head/none'\n"


def test_a_process_that_drains_has_status_1(ask, tmp_path):
    with start_server(tmp_path / "log", TRUNKLINE_HEADS="imagenet", TRUNKLINE_DRAIN_PAUSE_S="8") as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        done = ask(server.address)
    assert (done.returncode, done.stdout, done.stderr) == (1, "NOT_SERVING\n", "")


def test_a_service_behind_a_unix_socket_is_asked_too(ask, tmp_path):
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("unsure", health_pb2.HealthCheckResponse.UNKNOWN)
    add_HealthServicer_to_server(servicer, server)
    address = f"unix:{tmp_path}/socket"
    server.add_insecure_port(address)
    server.start()
    try:
        done, unsure = ask(address), ask(address, "--service", "unsure")
        long = ask(address, "--service", "n" * 120)
    finally:
        server.stop(None).wait()
    assert (done.returncode, done.stdout) == (0, "SERVING\n")
    assert (unsure.returncode, unsure.stdout) == (1, "UNKNOWN\n")
    assert long.stderr.endswith(f"it knows no service '{'n' * 120}'\n")
    assert ask(f"unix:{tmp_path}/none").returncode == 1


def test_a_server_without_health_has_refused_the_call(ask):
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    done = ask(address)
    server.stop(None).wait()
    assert done.returncode == 1
    assert done.stderr == f"trunkline-health: {address}: the call failed with status 12 of gRPC\n"


def test_nobody_is_one_line_and_status_1(ask):
    address = f"127.0.0.1:{free_port()}"
    done = ask(address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"trunkline-health: {address}: nothing listens there: Connection refused\n"


@pytest.mark.parametrize("timeout", ["0.3", "1.5"])
def test_who_never_answers_is_given_up_in_time(ask, timeout):
    left = threading.Event()
    with listener(lambda connection: left.wait(20) and None) as address:
        began = time.monotonic()
        done = ask(address, "--timeout", timeout)
        took_s = time.monotonic() - began
        left.set()
    assert (done.returncode, done.stderr) == (1, f"trunkline-health: {address}: no answer within {timeout} s\n")
    assert float(timeout) <= took_s < float(timeout) + 10


def test_who_sends_a_byte_now_and_then_is_given_up_in_time(ask):
    def drip(connection: socket.socket) -> None:
        with suppress(OSError):
            for each in frame(4, 0, 0, b"\0" * 300):
                connection.sendall(bytes([each]))
                time.sleep(0.1)

    with listener(drip) as address:
        began = time.monotonic()
        done = ask(address, "--timeout", "0.5")
        assert time.monotonic() - began < 15  # of the 30 s that it would take
    assert done.stderr.endswith("no answer within 0.5 s\n")


_FIELDS = b"\x88\x00\x0bgrpc-status\x01"  # :status 200, grpc-status of one character
_SERVING = b"\0\0\0\0\x02\x08\x01"


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"", 1, "the connection was closed before an answer"),
        (frame(4, 0, 0, b"")[:5], 1, "the connection was closed before an answer"),
        (frame(4, 0, 0, b"") + frame(0, 0, 1, _SERVING), 1, "the connection was closed before an answer"),
        (frame(7, 0, 0, bytes(8)), 1, "it takes no more calls"),
        (frame(3, 0, 1, bytes(4)), 1, "the call was reset"),
        (frame(1, 5, 1, b"\x88"), 1, "the call failed"),
        (frame(1, 5, 1, _FIELDS + b"8"), 1, "the call failed with status 8 of gRPC"),
        (frame(0, 0, 1, _SERVING) + frame(1, 5, 1, _FIELDS + b"2"), 1, "the call failed with status 2 of gRPC"),
        (frame(0, 1, 1, _SERVING[:5] + b"\x09"), 1, "the call failed"),
        (frame(0, 1, 1, _SERVING[:-1] + b"\x63"), 1, "the call failed"),
        (frame(0, 9, 1, b"\xff" + _SERVING), 1, "what answers speaks no HTTP/2"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 1, "what answers speaks no HTTP/2"),
        (frame(0, 9, 1, b"\x03" + _SERVING + bytes(3)), 0, ""),
        (frame(6, 0, 0, bytes(8)) + frame(0, 0, 1, _SERVING) + frame(1, 5, 1, _FIELDS + b"0"), 0, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_is_sent_is_one_line(ask, sent, status, said):
    def answer(connection: socket.socket) -> None:
        with suppress(OSError):  # who has heard enough leaves
            connection.recv(4096)  # what is unread at a close resets the connection
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(4096)

    with listener(answer) as address:
        done = ask(address, "--timeout", "5")
        expected = f"trunkline-health: {address}: {said}\n" if said else ""
        assert (done.returncode, done.stderr) == (status, expected)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["127.0.0.1"],
        ["127.0.0.1:"],
        ["127.0.0.1:0"],
        ["127.0.0.1:65536"],
        ["localhost:80x"],
        ["example.org:80"],
        ["unix:"],
        [f"unix:/{'p' * 120}"],
        ["127.0.0.1:1", "--timeout", "0"],
        ["127.0.0.1:1", "--timeout", "nan"],
        ["127.0.0.1:1", "--timeout", ""],
        ["127.0.0.1:1", "--timeout"],
        ["127.0.0.1:1", "--service", "n" * 121],
        ["127.0.0.1:1", "--unknown"],
        ["127.0.0.1:1", "127.0.0.1:2"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_have_status_2_and_say_what_is_right(ask, words):
    done = ask(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_it_costs_next_to_nothing(ask, target):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(50):
        assert ask(target, "--service", "live").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used_s / 50 < 0.02  # with the fork of this process; a start of Python is 0.3 s and more
