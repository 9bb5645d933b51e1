"""Callers that send or read slowly, against the whole command: each is let go, and others are answered meanwhile."""

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Server, free_port, start_server
from tests.service.raw_http import HEALTH, connect, end, send

# Twice and more what each is allowed, as this machine may be slow too.
LET_GO_WITHIN_S = 75
HEAD = b"POST /v1/images:classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 1000000\r\n\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[Server, str]]:
    address = f"127.0.0.1:{free_port()}"
    # A proxy of the environment must not come between the HTTP port and the gRPC port of one process.
    with start_server(
        tmp_path_factory.mktemp("slow") / "log", "--http", address, http_proxy="http://127.0.0.1:1"
    ) as server:
        yield server, address


def silent(caller: socket.socket) -> bytes:
    return b""


def head_by_the_byte(caller: socket.socket) -> bytes:
    caller.sendall(HEALTH)
    return b"X"


def silent_body(caller: socket.socket) -> bytes:
    caller.sendall(HEAD + b"x" * 1000)
    return b""


def body_by_the_byte(caller: socket.socket) -> bytes:
    caller.sendall(HEAD)
    return b"x" * 100


def chunks_by_the_byte(caller: socket.socket) -> bytes:
    caller.sendall(HEAD.replace(b"Content-Length: 1000000", b"Transfer-Encoding: chunked"))
    return b"1\r\nx\r\n"


def unread(caller: socket.socket) -> bytes:
    """An answer of some megabytes, of which nothing is read before the end."""
    picture = base64.b64encode((ROOT / "tests/samples/coffee.jpg").read_bytes()).decode()
    tensor = {"name": "image", "datatype": "BYTES", "shape": [8], "parameters": {"content_type": "base64"}}
    document = {"inputs": [{**tensor, "data": 8 * [picture]}], "outputs": [{"name": "c2"}, {"name": "c3"}]}
    body = json.dumps(document).encode()
    caller.sendall(b"POST /v2/models/efficientnet-lite0/infer HTTP/1.1\r\nHost: x\r\n")
    caller.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return b""


CALLERS = [silent, head_by_the_byte, silent_body, body_by_the_byte, chunks_by_the_byte]


def test_slow_callers_are_let_go_and_others_are_answered(served):
    server, address = served
    gone: dict[str, float | None] = {}
    threads = [threading.Thread(target=keep, args=(address, begin, gone)) for begin in CALLERS]
    for thread in threads:
        thread.start()
    answered = 0
    while any(thread.is_alive() for thread in threads):
        assert send(address, HEALTH + b"\r\n") == (200, {"live": True})
        answered += 1
        time.sleep(0.2)
    assert answered > 10
    assert set(gone) == {begin.__name__ for begin in CALLERS}
    assert all(seconds is not None and seconds > 5 for seconds in gone.values()), gone
    assert "Traceback" not in server.log


def keep(address: str, begin: Callable[[socket.socket], bytes], gone: dict[str, float | None]) -> None:
    """Send what `begin` returns once and again, and note after how many seconds the connection was closed."""
    began_at = time.monotonic()
    with connect(address) as caller:
        more = begin(caller)
        while time.monotonic() - began_at < LET_GO_WITHIN_S:
            if end(caller, 0.5) is not None:
                gone[begin.__name__] = time.monotonic() - began_at
                return
            try:
                caller.sendall(more)
            except OSError:
                gone[begin.__name__] = time.monotonic() - began_at
                return
    gone[begin.__name__] = None


def test_an_answer_that_nobody_reads_is_dropped(served):
    _, address = served
    with connect(address) as caller:
        unread(caller)
        time.sleep(5)
        assert send(address, HEALTH + b"\r\n") == (200, {"live": True})
        ends_at = time.monotonic() + LET_GO_WITHIN_S
        while connections(address) > 0:
            assert time.monotonic() < ends_at, "the connection stands"
            time.sleep(1)
        received = rest(caller)
        assert len(received) < int(received.partition(b"content-length: ")[2].split(b"\r\n")[0])


def rest(caller: socket.socket) -> bytes:
    """What the system had kept of an answer."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := caller.recv(1 << 20):
            received += part
    return received


def connections(address: str) -> int:
    """Established connections to this port, from the side of the server."""
    port = int(address.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)
