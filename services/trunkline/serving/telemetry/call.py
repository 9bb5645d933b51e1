"""The call that is being answered, for whatever runs on its behalf: logs, calls to services behind, measurements."""

import random
import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

REQUEST_ID = "x-request-id"
OTHER = "other"  # the label of what is not known: names that callers make up must not become labels
_LEGAL_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
Pairs = tuple[tuple[str, str | bytes], ...]


@dataclass(slots=True)
class Call:
    """One gRPC call; `inject` gives the metadata with which a trace goes on in the service behind.

    `heads` are those that were asked; `passes` is None until a backbone was asked. A stream may be about many
    pictures.
    """

    method: str
    request_id: str
    trace_id: str = ""
    inject: Callable[[], Pairs] | None = None
    heads: list[str] = field(default_factory=list)
    passes: int | None = None
    streams: bool = False
    received_bytes: int = 0
    sent_bytes: int = 0


_CALL: ContextVar[Call | None] = ContextVar("call", default=None)


def current_call() -> Call | None:
    """The call on whose behalf this code runs; None outside of any."""
    return _CALL.get()


def begin_call(call: Call) -> None:
    """From here on this task, and those that it starts, work for `call`."""
    _CALL.set(call)


def request_id_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The caller's x-request-id where it is short and harmless in a log, otherwise a new one (32 hex digits)."""
    for key, value in metadata or ():
        if key == REQUEST_ID and isinstance(value, str) and is_request_id(value):
            return value
    return new_request_id()


def is_request_id(text: str) -> bool:
    """Whether it is short and harmless in a log."""
    return _LEGAL_ID.fullmatch(text) is not None


def new_request_id() -> str:
    return f"{random.getrandbits(128):032x}"  # an id, not a secret


def outgoing_metadata() -> Pairs:
    """What a call to another service carries of the current one: the request id, and the trace where there is one."""
    call = _CALL.get()
    if call is None:
        return ()
    own: Pairs = ((REQUEST_ID, call.request_id),)
    return own if call.inject is None else own + call.inject()
