"""The gate and the record as one method sees them."""

from __future__ import annotations  # the generics of grpc exist for type checkers alone

from collections.abc import AsyncIterator
from typing import Any, Final

from google.protobuf.message import Message

from trunkline.core.errors import PermissionDeniedError, QuotaError, TrunklineError, UnauthenticatedError
from trunkline.serving.security.callers import current_caller
from trunkline.serving.security.methods import need_of
from trunkline.serving.security.quota import Meter
from trunkline.serving.security.record import objects_of
from trunkline.serving.security.security import Security
from trunkline.serving.status import code_of

_MOST_OBJECTS: Final = 16  # of one stream


class Door:
    """For the calls of one method."""

    def __init__(self, security: Security, method: str) -> None:
        """method: its path."""
        self._gate, self._record, self._method = security.gate, security.record, method
        self._need = need_of(method)

    def enter(self, context: Any) -> Meter | None:
        """As Gate.admit does; whoever it is where nobody is asked."""
        return None if self._gate is None else self._gate.admit(context, self._method, self._need)

    def denied(self, context: Any, error: Exception) -> None:
        """A call ended with such an error."""
        reason = error.reason if isinstance(error, TrunklineError) else ""
        self._record.denial(self._record.peer_of(context), _identity(error), self._method, (), reason)

    def recorded(self, behaviour: Any) -> Any:
        """The same behaviour, with a line for each call where it changes something.

        What a gateway passes on unread the service behind records.
        """
        if not self._need.changes:
            return behaviour

        async def answer(request: Any, context: Any) -> Any:
            peer = self._record.peer_of(context)
            try:
                found = await behaviour(request, context)
            except Exception as error:
                self._changed(peer, request, error)
                raise
            self._changed(peer, request, None)
            return found

        return answer

    def recorded_stream(self, behaviour: Any) -> Any:
        """The same for a behaviour that reads and writes a stream: one line at its end."""
        if not self._need.changes:
            return behaviour

        async def stream(requests: Any, context: Any) -> AsyncIterator[Any]:
            objects: dict[str, None] = {}
            peer = self._record.peer_of(context)

            async def noted() -> AsyncIterator[Any]:
                async for request in requests:
                    if len(objects) < _MOST_OBJECTS:
                        objects.update(dict.fromkeys(objects_of(request, self._need.changes)))
                    yield request

            error: Exception | None = None
            try:
                async for message in behaviour(noted(), context):
                    yield message
            except Exception as found:
                error = found
                raise
            finally:
                self._record.change(peer, _identity(error), self._method, objects, _result(error))

        return stream

    def _changed(self, peer: str, request: Any, error: Exception | None) -> None:
        if isinstance(request, Message):
            objects = objects_of(request, self._need.changes)
            self._record.change(peer, _identity(error), self._method, objects, _result(error))


def is_denial(error: BaseException) -> bool:
    """Whether a call was refused for who makes it, or for how much he took."""
    return isinstance(error, UnauthenticatedError | PermissionDeniedError) or (
        isinstance(error, QuotaError) and "identity" in error.metadata
    )


def _result(error: Exception | None) -> str:
    return "OK" if error is None else code_of(error).name


def _identity(error: Exception | None) -> str:
    """Who calls, also where that alone was found out before the call was refused."""
    caller = current_caller()
    if caller is not None:
        return caller.name
    return error.metadata.get("identity", "") if isinstance(error, TrunklineError) else ""
