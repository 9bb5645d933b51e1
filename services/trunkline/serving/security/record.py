"""The record of what was changed and what was refused: one JSON line each, never a key, a token or a picture."""

import json
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.message import Message

from trunkline.core.errors import TrunklineError
from trunkline.core.text import shown
from trunkline.serving.security.peers import FROM, PEER
from trunkline.serving.telemetry.call import current_call

NAME: Final = "trunkline.audit"  # of the logger, whose lines are JSON whatever TRUNKLINE_LOG_FORMAT says
_DENIALS_A_SECOND: Final = 100.0  # callers decide how many there are, and lines take disk space
_MOST_OBJECTS: Final = 16
_REASONS: Final = ("UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_VISIBLE", "QUOTA")
_log = logging.getLogger(NAME)
_log.setLevel(logging.INFO)


class Record:
    """Writes the lines of one process."""

    def __init__(self, own_key: str) -> None:
        """own_key: by which calls of the HTTP port of this process are known, that say for which address they are."""
        self._own_key = own_key
        self._left, self._at, self._left_out = _DENIALS_A_SECOND, time.monotonic(), 0
        self._denials = dict.fromkeys(_REASONS, 0)

    def counts(self) -> dict[tuple[str, ...], float]:
        """How many were refused, by reason, for metrics."""
        return {(reason,): float(count) for reason, count in self._denials.items()}

    def change(self, peer: str, identity: str, method: str, objects: Iterable[str], result: str) -> None:
        """Somebody has changed something, or tried to. result: the code with which the call ended."""
        self._write("change", identity, peer, method, objects, result)

    def denial(self, peer: str, identity: str, method: str, objects: Iterable[str], reason: str) -> None:
        """Somebody was refused. What is more than a hundred a second is counted in the next line."""
        if reason in self._denials:
            self._denials[reason] += 1
        now = time.monotonic()
        self._left = min(_DENIALS_A_SECOND, self._left + (now - self._at) * _DENIALS_A_SECOND)
        self._at = now
        if self._left < 1:
            self._left_out += 1
            return
        self._left -= 1
        more = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        self._write("denial", identity, peer, method, objects, reason, **more)

    def refused_over_http(self, peer: str, method: str, error: Exception) -> None:
        """The same where no gRPC call was made of a request."""
        if isinstance(error, TrunklineError):
            self.denial(peer, error.metadata.get("identity", ""), method, (), error.reason)

    def key(self, change: str, key_id: str) -> None:
        """A key came into the access file, or went. change: "added" or "revoked"."""
        self._write("key", "", "", "", (key_id,), change)

    def _write(
        self, kind: str, identity: str, peer: str, method: str, objects: Iterable[str], result: str, **more: Any
    ) -> None:
        call = current_call()
        line = {
            "audit": kind,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "identity": identity,
            "peer": peer,
            "method": method.removeprefix("/"),
            "object": ",".join(map(shown, objects)),
            "result": result,
            "request_id": "" if call is None else call.request_id,
            **more,
        }
        _log.info("%s", json.dumps(line, ensure_ascii=False))

    def peer_of(self, context: Any) -> str:
        """The address of who calls, of the HTTP port where that passed the call on.

        To be asked as a call begins: of one that has ended grpc.aio asks memory that is gone.
        """
        metadata = dict(context.invocation_metadata() or ())
        if metadata.get(PEER) == self._own_key and FROM in metadata:
            return str(metadata[FROM])
        return str(context.peer())


def objects_of(request: Any, fields: Iterable[str]) -> list[str]:
    """What a request is about, by the fields that name it."""
    found = []
    for path in fields:
        value = request
        for name in path.split("."):
            value = getattr(value, name, "")
        if isinstance(value, str | int | float):
            found.append(str(value))
        else:  # a list of names with versions
            found += [_parts(each) for each in list(value)[:_MOST_OBJECTS]]
    return found


def _parts(message: Any) -> str:
    """NAME/VERSION."""
    if not isinstance(message, Message):
        return str(message)
    return "/".join(str(value) for _, value in message.ListFields())
