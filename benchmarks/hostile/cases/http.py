"""The HTTP port: JSON without end, headers and bodies that never end."""

import socket
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import ExitStack, suppress

from benchmarks.hostile.case import Case, Codes, Where

_MIB = 1 << 20


def _post(where: Where, path: str, body: bytes) -> str:
    request = urllib.request.Request(f"http://{where.http}{path}", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError as error:
        return type(error).__name__


def _large_json(where: Where) -> Codes:
    numbers = b",".join([b"2"] * 15_000_000)
    bodies = (
        ("/v1/images:analyze", b'{"heads":[' + b",".join([b'{"head":"y"}'] * 3_000_000) + b"]}"),
        ("/v1/images:detect", b'{"classes":[' + b",".join([b'"cat"'] * 6_000_000) + b"]}"),
        ("/v1/galleries/none:search", b'{"embedding":{"values":[' + numbers + b"]}}"),
        (
            "/v2/models/imagenet/infer",
            b'{"inputs":[{"name":"pooled","datatype":"FP32","shape":[1,15000000],"data":[' + numbers + b"]}]}",
        ),
        ("/v2/repository/index", b"[" * 200_000),
        ("/v1/trainingJobs", b'{"request":{"name":"a","data":"b","licence":"' + b"L" * (30 * _MIB) + b'"}}'),
    )
    return Counter(_post(where, path, body) for path, body in bodies)


def _slow(where: Where) -> Codes:
    """500 that send a header a byte at a time, 20 that stop within a body of 59 MB."""
    host, _, port = where.http.rpartition(":")
    found = Counter[str]()
    with ExitStack() as stack:

        def opened() -> socket.socket | None:
            try:
                return stack.enter_context(socket.create_connection((host, int(port)), timeout=2))
            except OSError:
                found["not accepted"] += 1
                return None

        heads = [each for _ in range(500) if (each := opened()) is not None]
        bodies = [each for _ in range(20) if (each := opened()) is not None]
        for body in bodies:
            body.settimeout(1)
            with suppress(OSError):
                body.sendall(b"POST /v1/images:classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n")
                body.sendall(b"Content-Length: 59000000\r\n\r\n" + bytes(20 * _MIB))
        for head in heads:
            with suppress(OSError):
                head.sendall(b"GET /v1/heads HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        ends_at = time.monotonic() + where.seconds
        while time.monotonic() < ends_at:
            for each in (*heads, *bodies):
                with suppress(OSError):
                    each.sendall(b"z")
            time.sleep(1)
        found["held to the end"] = sum(_is_open(each) for each in (*heads, *bodies))
        found["closed by the service"] = len(heads) + len(bodies) - found["held to the end"]
    return found


def _is_open(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        while piece := connection.recv(4096):
            if piece.startswith(b"HTTP/1.1 4"):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


CASES = (Case("JSON bodies of 30 to 40 MB", _large_json), Case("500 slow headers, 20 half-sent bodies", _slow))
