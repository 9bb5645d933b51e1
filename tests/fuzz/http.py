"""Every HTTP route of a server: the table of rules and /v2, as raw bytes on a connection of their own."""

import copy
import json
import re
import select
import socket
import time
from random import Random
from typing import Any

from google.protobuf import json_format

from tests.fuzz import messages
from tests.fuzz.busy import scale
from tests.fuzz.case import Case, unpack
from tests.fuzz.loop import Fault
from tests.fuzz.seeds import PICTURES
from tests.fuzz.servers import GRACE_S, Watched
from tests.fuzz.values import TEXTS, mutated
from trunkline.gateway.rest.rules import Rule, rules

_V2 = (
    "GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/stats", "POST /v2/repository/index",
    "POST /v2/repository/models/NAME/load", "POST /v2/repository/models/NAME/unload", "GET /v2/models/NAME",
    "GET /v2/models/NAME/ready", "GET /v2/models/NAME/config", "GET /v2/models/NAME/stats",
    "POST /v2/models/NAME/infer", "POST /v2/models/NAME/infer", "POST /v2/models/NAME/versions/1/infer",
    "GET /v2/models/NAME/versions/1", "GET /v2/models/NAME/versions/1/stats",
)  # fmt: skip
_VERBS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "G\x00T", "PRI")
_NAMES = (*messages.MODELS, "g1", "1", "..", "%2e%2e", "%00", "%ff", "a" * 300, "*", "%F0%9F%98%80", "9" * 30)
_HEADERS = (
    b"Content-Type: application/json", b"Content-Type: image/jpeg", b"Content-Type: application/octet-stream",
    b"Content-Type: ", b"Content-Type: application/json; charset=utf-16", b"Content-Type: text/html\xff",
    b"Content-Encoding: gzip", b"Accept-Encoding: gzip", b"X-Request-Timeout: 0.5", b"X-Request-Timeout: nan",
    b"X-Request-Timeout: 1e400", b"X-Request-Timeout: -1", b"X-Request-Timeout: 0", b"X-Request-Id: \xe9\xff",
    b"X-Request-Id: " + b"a" * 5000, b"X-Request-Id: a\tb", b"X-Request-Id: \x7f", b"X-Request-Id: \x01",
    b"traceparent: 00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"traceparent: \xff", b"traceparent: " + b"9" * 4000,
    b"tracestate: a=b\x7f", b"tracestate: \xc3\xa9", b"tracestate: " + b"a=b," * 300,
    b"Inference-Header-Content-Length: 0", b"Inference-Header-Content-Length: -5",
    b"Inference-Header-Content-Length: 50", b"Inference-Header-Content-Length: x",
    b"Inference-Header-Content-Length: \xb2", b"Inference-Header-Content-Length: " + b"9" * 5000,
    b"Expect: 100-continue", b"Upgrade: h2c", b"Upgrade: websocket", b"Connection: upgrade",
    b"Cookie: " + b"x" * 5000,
    b"Range: bytes=0-", b"Origin: http://elsewhere", b"Authorization: Basic \xff", b"If-None-Match: *",
)  # fmt: skip
_LENGTHS = (b"-1", b"5", b"99999999999999", b"0", b"x", b"1e3", b"+4", b"4, 4")
_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e308,
    2**70,
    "",
    "x",
    [],
    {},
    [[]],
    [1, "a", None],
    {"a": {}},
    "!!!",
    "NaN",
)
_INFER = {
    "id": "1", "parameters": {"top_k": 3}, "outputs": [{"name": "scores", "parameters": {"binary_data": True}}],
    "inputs": [{"name": "pooled", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}],
}  # fmt: skip
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_NO_FAULT = frozenset({501, 503, 504})
_LARGEST = 1 << 20  # of an answer that is read


class Http:
    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        host, _, port = watched.http.rpartition(":")
        self._address = (host, int(port))
        self._rules = [rule for rule in rules() if rule.method.name != "EvaluateHead"]
        self._requests = 0

    def make(self, dice: Random) -> bytes:
        if dice.random() < 0.75:
            rule = dice.choice(self._rules)
            verb, path, body = rule.verb, _path(dice, rule.path), _body(dice, rule)
        else:
            verb, _, path = dice.choice(_V2).partition(" ")
            path, body = path.replace("NAME", dice.choice(_NAMES)), _infer(dice)
        if dice.random() < 0.1:
            verb = dice.choice(_VERBS)
        if dice.random() < 0.05:
            path = "/" + "/".join(dice.choice((*_NAMES, "v1", "v2")) for _ in range(dice.randint(0, 6)))
        if dice.random() < 0.25:
            path += "?" + "&".join(f"{dice.choice(_QUERY)}={dice.choice(_VALUES)}" for _ in range(dice.randint(1, 5)))
        headers, whole = _headers(dice, body)
        lines = [f"{verb} {path} HTTP/1.1".encode("utf-8", "replace"), b"Host: x", *headers, b"Connection: close"]
        parts = [b"\r\n".join([*lines, b"", b""]), body]
        if b"Transfer-Encoding: chunked" in headers:
            parts[1] = _chunked(dice, body)
        if dice.random() < 0.03:
            parts, whole = [mutated(dice, parts[0]), body], False
        header = {"whole": whole and "\x00" not in verb, "pause": dice.random() < 0.05}
        return Case(header, parts).pack()

    def check(self, data: bytes) -> Fault | None:
        case = unpack(data)
        self._requests += 1
        began_at = time.monotonic()
        answer = self._ask(case)
        fault = _wrong(answer)
        if fault is None and not answer and case.header["whole"]:
            took = time.monotonic() - began_at
            line = case.parts[0][:80]
            fault = Fault("no answer", f"no answer within {took:.1f} s to {line!r}")
        if fault is None and self._requests % 200 == 0:
            fault = self._watched.answers()
        return fault or self._watched.looked()

    def finish(self) -> Fault | None:
        return self._watched.finish()

    def _ask(self, case: Case) -> bytes:
        """What comes back until the connection ends or nobody waits any longer."""
        limit_s = 6 * GRACE_S * scale() if case.header["whole"] else 0.3
        answer = b""
        try:
            with socket.create_connection(self._address, timeout=GRACE_S * scale()) as connection:
                for part in case.parts:
                    connection.sendall(part)
                    if case.header["pause"]:
                        time.sleep(0.05)
                while len(answer) < _LARGEST and select.select([connection], [], [], limit_s)[0]:
                    piece = connection.recv(1 << 16)
                    if not piece:
                        break
                    answer += piece
        except (ConnectionError, TimeoutError):
            return answer or b"closed"  # while it was still being sent
        return answer


def _wrong(answer: bytes) -> Fault | None:
    found = _STATUS.match(answer)
    status = int(found[1]) if found else 0
    if status >= 500 and status not in _NO_FAULT:
        end = answer[-200:]
        return Fault(f"{status} {end[-60:]!r}", f"HTTP {status}: {end!r}")
    if b"Traceback (most" in answer or b"site-packages" in answer:
        return Fault("traceback in an answer", f"an answer shows code: {answer[-200:]!r}")
    head, _, body = answer.partition(b"\r\n\r\n")
    if status >= 400 and (len(body) > 16_384 or len(head) > 8192):
        return Fault("long", f"an error of {len(body)} bytes, headers of {len(head)}")
    return None


_QUERY = ("head", "heads", "top_k", "format", "page_size", "name", "k", "by", "ready", "classes", "image", "x", "")
_VALUES = ("1", "a", "%00", "%ff", "true", ",,,", "imagenet,pets", "-1", "nan", "1e309", "%E2%80%AE", "a" * 3000, "")


def _path(dice: Random, path: str) -> str:
    return re.sub(r"\{[^}]*\}", lambda _: dice.choice(_NAMES), path)


def _headers(dice: Random, body: bytes) -> tuple[list[bytes], bool]:
    """Lines, and whether a request with them must be answered."""
    headers = [dice.choice(_HEADERS) for _ in range(dice.choice((0, 0, 1, 2, 4)))]
    if dice.random() < 0.85:
        headers.append(dice.choice((b"Content-Type: application/json", b"Content-Type: image/jpeg")))
    if dice.random() < 0.02:
        headers += [b"X-Many-%d: y" % number for number in range(dice.choice((60, 200, 3000)))]
    chance = dice.random()
    if chance < 0.05:
        return [*headers, b"Transfer-Encoding: chunked"], False
    if chance < 0.1:
        return [*headers, b"Content-Length: " + dice.choice(_LENGTHS)], False
    if chance < 0.12:
        return headers, False
    whole = not any(line.startswith((b"Expect", b"Upgrade", b"Connection")) for line in headers)
    return [*headers, b"Content-Length: %d" % len(body)], whole


def _chunked(dice: Random, body: bytes) -> bytes:
    sizes = dice.choice((b"%x" % len(body), b"%x" % len(body), b"ffffffffffffffff", b"-1", b"0x5", b"zz", b"5;a=b"))
    return sizes + b"\r\n" + body + b"\r\n" + dice.choice((b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b""))


def _body(dice: Random, rule: Rule) -> bytes:
    chance = dice.random()
    if not rule.has_body or chance < 0.03:
        return b""
    if chance < 0.15:
        return dice.choice(PICTURES)
    if chance < 0.18:
        return dice.choice((b"[", b'{"a":', b'{"heads":[')) * dice.choice((10, 1000, 100_000))
    message = messages.made(dice, rule.method.input_type, dice.choice((20, 300)))
    try:
        document = json_format.MessageToDict(message, preserving_proto_field_name=True)
    except Exception:  # what JSON cannot say, such as a time out of range
        document = {}
    return _as_json(dice, document)


def _infer(dice: Random) -> bytes:
    return _as_json(dice, json.loads(json.dumps(_INFER)))


def _as_json(dice: Random, document: dict[str, Any]) -> bytes:
    for _ in range(dice.choice((0, 1, 1, 2))):
        _change(dice, document)
    text = json.dumps(document)
    if dice.random() < 0.03:
        return text.encode(dice.choice(("utf-16", "utf-32", "utf-8-sig")))
    return mutated(dice, text.encode()) if dice.random() < 0.15 else text.encode()


def _change(dice: Random, document: dict[str, Any]) -> None:
    """Another kind of value somewhere."""
    holder: Any = document
    while isinstance(holder, dict | list) and holder:
        key = dice.choice(sorted(holder)) if isinstance(holder, dict) else dice.randrange(len(holder))
        if not isinstance(holder[key], dict | list) or not holder[key] or dice.random() < 0.4:
            holder[key] = copy.deepcopy(dice.choice((*_ODD, dice.choice(TEXTS))))
            return
        holder = holder[key]
    document[dice.choice(("image", "heads", "x"))] = copy.deepcopy(dice.choice(_ODD))
