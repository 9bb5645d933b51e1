"""What every route has around it: the memory that it holds, its error, and an answer that waits for who reads it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from trunkline.gateway.rest.browsers import Pages
from trunkline.gateway.rest.entrance import Entrance
from trunkline.gateway.rest.giving_back import GivingBack
from trunkline.serving.aside import Aside
from trunkline.serving.budget import ByteBudget, Hold
from trunkline.serving.security.security import Security
from trunkline.serving.settings import Settings

_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Port:
    """What the routes of one HTTP port share."""

    settings: Settings
    channel: grpc.aio.Channel
    budget: ByteBudget
    reading: Aside
    answering: Aside
    back: GivingBack
    security: Security


class Endpoint:
    """An ASGI application. What `behaviour` holds is released when the answer has left."""

    def __init__(
        self,
        behaviour: Callable[[Request, Hold], Awaitable[Response]],
        as_response: Callable[[Exception], Response],
        port: Port,
        method: str,
    ) -> None:
        """method: path of the gRPC call that it stands for."""
        self._behaviour, self._as_response, self._port = behaviour, as_response, port
        self._entrance = Entrance(port.security, Pages(port.settings), method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        with self._port.budget.hold() as hold:
            try:
                self._entrance.enter(request)
                response = await self._behaviour(request, hold)
            except ClientDisconnect:
                return
            except Exception as error:  # every error gets its answer
                response = self._as_response(error)
            await response(scope, receive, send)
        length = request.headers.get("content-length", "")
        self._port.back.went(int(length) if length.isdecimal() else 0)


class PacedResponse(Response):
    """A response of which the transport gets no more than a piece before the caller has read the one before."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, max(1, len(body)), _PIECE_BYTES):
            piece = bytes(body[start : start + _PIECE_BYTES])
            more = start + _PIECE_BYTES < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
