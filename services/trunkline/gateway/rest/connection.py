"""One connection of the HTTP port: uvicorn's, with a time for everything that it waits for."""

import asyncio
import http
from enum import Enum, auto
from typing import Any

import grpc
import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from trunkline.core.text import shown
from trunkline.gateway.rest.callers import Callers
from trunkline.gateway.rest.entrance import CERTIFICATE, names_in
from trunkline.gateway.rest.errors import refusal
from trunkline.gateway.rest.parser import MOST_HEAD_BYTES, BoundedParser

_HEAD_S = 10.0  # for the head of a request, from its first byte or from the connection on
_SILENCE_S = 10.0  # of a body
# In each window a body must come at this rate: ISDN, or where memory is short a good mobile connection.
_WINDOW_S, _LEAST_RATE, _LEAST_RATE_UNDER_PRESSURE = 10.0, 8 * 1024, 64 * 1024
# And an answer must be read at this one.
_READING_S, _READING_S_UNDER_PRESSURE, _LEAST_READING_RATE = 30.0, 10.0, 4 * 1024
# For a body that nobody reads, so that the caller finds the answer and no reset.
_REST_S = 5.0
# A head is parsed in pieces as long as it may be, chunks too: bounds are looked at between them.
_PIECE_BYTES = MOST_HEAD_BYTES
_MOST_PIPELINED_BYTES = 64 * 1024


class _Phase(Enum):
    NEW = auto()  # nothing came yet
    HEAD = auto()
    BODY = auto()
    WORK = auto()  # the caller waits, not this side
    REST = auto()  # the answer has left, and the body still comes
    IDLE = auto()
    GONE = auto()  # closed, but for what the caller may still send


class Connection(H11Protocol):
    """Made by uvicorn for each connection."""

    def __init__(
        self,
        callers: Callers,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._callers = callers
        self.conn: BoundedParser = BoundedParser()
        self._application, self.app = self.app, self._run
        self._task: asyncio.Task[Any] | None = None
        self._pending = b""  # received and not yet parsed
        self._raw: Any = None
        self._certificate: tuple[str, ...] = ()  # names in what the caller showed
        self._phase, self._since = _Phase.NEW, 0.0
        self._received, self._heard_at = 0, 0.0  # of the body: bytes of the window, and when the last ones came
        # Of answers: bytes that were read, when the last of them were, and both at the begin of the window.
        self._read, self._read_at = 0, 0.0
        self._read_before, self._reading_since = 0, 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._raw = transport
        self._certificate = names_in(transport)
        self._transport = _Transport(self, transport)
        self.transport = self._transport  # type: ignore[assignment]
        self._since = self._read_at = self._reading_since = self.loop.time()
        if not self._callers.add(self):
            self._refuse(503, grpc.StatusCode.UNAVAILABLE, "all connections are in use: try again in 1 s")

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase, self._pending = _Phase.GONE, b""
        self._callers.remove(self)
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel()  # nobody waits for the answer

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.GONE:
            return
        self._unset_keepalive_if_required()
        self._heard_at = self.loop.time()
        self._received += len(data)
        self._pending = self._pending + data if self._pending else data
        self._go_on()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._go_on()

    def send_400_response(self, msg: str) -> None:
        fault = self.conn.fault
        code = (fault.error_status_hint if fault is not None else 0) or 400
        if code == 501:  # what another server might do is no fault of ours
            code = 400
        self._refuse(code, grpc.StatusCode.INVALID_ARGUMENT, f"no HTTP request that is read: {shown(fault or msg)}")

    def shutdown(self) -> None:
        if self._phase in (_Phase.HEAD, _Phase.BODY):
            self._refuse(503, grpc.StatusCode.UNAVAILABLE, "the service stops: ask again")
        elif self._phase in (_Phase.REST, _Phase.GONE):
            self.abort()
        else:
            super().shutdown()

    def look(self, now: float) -> None:
        """End it where it has kept this side waiting for too long."""
        self._look_at_reading(now)
        waited_s = now - self._since
        match self._phase:
            case _Phase.NEW if waited_s > _HEAD_S:
                self.close()
            case _Phase.HEAD if waited_s > _HEAD_S:
                self._refuse_slow(f"the head of a request must come within {_HEAD_S:g} s")
            case _Phase.BODY:
                self._look_at_body(now)
            case _Phase.IDLE if waited_s > self.timeout_keep_alive:
                self.timeout_keep_alive_handler()
            case _Phase.REST | _Phase.GONE if waited_s > _REST_S:
                self.abort()

    def give_place(self) -> None:
        """End it at once, for another."""
        if self._phase in (_Phase.HEAD, _Phase.BODY):
            self._refuse(503, grpc.StatusCode.UNAVAILABLE, "others need the connection, and this one was slow")
        if self._phase is _Phase.GONE or self._raw.get_write_buffer_size():
            self.abort()
        else:
            self.close()

    def abort(self) -> None:
        """End it without a word."""
        self._raw.abort()

    @property
    def is_gone(self) -> bool:
        """Whether it is closed, at least on this side."""
        return self._phase is _Phase.GONE

    def _should_upgrade(self) -> bool:
        return False

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, in a task that ends with the connection."""
        task = self._task = asyncio.current_task()
        scope[CERTIFICATE] = self._certificate
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            self.cycle.disconnected = True
            self.abort()
        finally:
            if self._task is task:
                self._task = None

    def _go_on(self) -> None:
        """Parse what is there, as far as one request goes."""
        while self._pending and self._reads:
            is_body = self.conn.their_state is h11.SEND_BODY and not self.conn.in_chunks
            size = len(self._pending) if is_body else _PIECE_BYTES
            piece, self._pending = self._pending[:size], self._pending[size:]
            self.conn.receive_data(piece)
            self.handle_events()
        if self._phase is _Phase.GONE:
            return
        if self._pending:
            self._hold_back()
        phase = self._found_phase()
        if phase is not self._phase:
            self._enter(phase)

    @property
    def _reads(self) -> bool:
        return self._phase is not _Phase.GONE and self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _hold_back(self) -> None:
        """The next request is here before this one is answered: it waits, if it is small."""
        self.flow.pause_reading()
        if len(self._pending) > _MOST_PIPELINED_BYTES:
            self._pending = b""
            self.cycle.keep_alive = False

    def _found_phase(self) -> _Phase:
        state = self.conn.their_state
        if state is h11.IDLE:
            if self.conn.trailing_data[0]:
                return _Phase.HEAD
            return _Phase.NEW if self._phase is _Phase.NEW else _Phase.IDLE
        if state is h11.SEND_BODY:
            return _Phase.BODY if self.conn.our_state in (h11.SEND_RESPONSE, h11.SEND_BODY) else _Phase.REST
        return _Phase.IDLE if self.cycle is None or self.cycle.response_complete else _Phase.WORK

    def _enter(self, phase: _Phase) -> None:
        self._phase, self._since = phase, self.loop.time()
        self._received = 0
        if phase is _Phase.WORK:
            self._callers.works(self)
        else:
            self._callers.waits(self)

    def _look_at_body(self, now: float) -> None:
        if self.flow.read_paused:  # this side has enough for now
            self._since = self._heard_at = now
            self._received = 0
            return
        rate = _LEAST_RATE_UNDER_PRESSURE if self._callers.under_pressure else _LEAST_RATE
        waited_s = now - self._since
        if now - self._heard_at > _SILENCE_S:
            self._refuse_slow(f"nothing of the body came for {_SILENCE_S:g} s")
        elif waited_s > _WINDOW_S:
            if self._received < rate * waited_s:
                self._refuse_slow(f"a body must come with {rate} bytes a second")
            self._since, self._received = now, 0

    def _look_at_reading(self, now: float) -> None:
        """Answers that are not read hold memory."""
        unsent = self._raw.get_write_buffer_size()
        read = self._transport.written - unsent
        if not unsent or read != self._read:
            self._read, self._read_at = read, now
        if not unsent:
            self._read_before, self._reading_since = read, now
            return
        if self._phase is _Phase.WORK:
            self._callers.waits(self)
        longest_s = _READING_S_UNDER_PRESSURE if self._callers.under_pressure else _READING_S
        waited_s = now - self._reading_since
        if now - self._read_at > longest_s:
            self.abort()
        elif waited_s > longest_s:
            if read - self._read_before < _LEAST_READING_RATE * waited_s:
                self.abort()
            self._read_before, self._reading_since = read, now

    def _refuse_slow(self, message: str) -> None:
        self._refuse(408, grpc.StatusCode.DEADLINE_EXCEEDED, message)

    def _refuse(self, status: int, code: grpc.StatusCode, message: str) -> None:
        """Answer, where nothing was answered yet, and close."""
        if self._phase is _Phase.GONE:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            path = self.scope["path"] if self.scope is not None else ""
            self.transport.write(_answer(status, code, message, path))
        self.close()

    def close(self) -> None:
        """Close it; where more may come, first this side alone, as a reset would take the answer away."""
        if self._phase is _Phase.GONE:
            return
        more_comes = self.conn.their_state in (h11.SEND_BODY, h11.ERROR)
        self._pending = b""
        self._enter(_Phase.GONE)
        if more_comes and not self._raw.is_closing():
            self.flow.resume_reading()
            if self._raw.can_write_eof():  # TLS has no such end: what comes is read for a while
                self._raw.write_eof()
        else:
            self._raw.close()


class _Transport:
    """What uvicorn writes to: it counts, and closes in the way of its connection."""

    def __init__(self, connection: Connection, raw: Any) -> None:
        self._connection, self._raw = connection, raw
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self._raw.write(data)

    def close(self) -> None:
        self._connection.close()

    def is_closing(self) -> bool:
        return self._connection.is_gone or bool(self._raw.is_closing())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def _answer(status: int, code: grpc.StatusCode, message: str, path: str) -> bytes:
    response = refusal(status, code, message, path, {"connection": "close"})
    if status == 503:
        response.headers["retry-after"] = "1"
    lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}".encode()]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)
