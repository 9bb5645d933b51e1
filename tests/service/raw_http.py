"""HTTP by hand: requests that no client sends, over a socket."""

import json
import socket
import time
from typing import Any

HEALTH = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n"


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def send(address: str, data: bytes) -> tuple[int, Any]:
    """Status and JSON of the first answer to these bytes."""
    with connect(address) as caller:
        caller.sendall(data)
        return answer(caller)


def answer(caller: socket.socket) -> tuple[int, Any]:
    """Status and JSON of the next answer on a connection."""
    status, _, body = whole_answer(caller)
    return status, json.loads(body)


def whole_answer(caller: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters and body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(caller)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _some(caller)
    return int(first.split()[1]), headers, body


def end(caller: socket.socket, within_s: float) -> float | None:
    """Seconds until the other side has closed the connection, or None; what it says before is thrown away."""
    began_at = time.monotonic()
    caller.settimeout(0.5)
    while time.monotonic() - began_at < within_s:
        try:
            if not caller.recv(65536):
                return time.monotonic() - began_at
        except TimeoutError:
            continue
        except OSError:
            return time.monotonic() - began_at
    return None


def _some(caller: socket.socket) -> bytes:
    data = caller.recv(65536)
    if not data:
        raise ConnectionError("closed before the answer was whole")
    return data
