"""Asks a server about pictures, all calls of one picture side by side."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc

from benchmarks.load.targets import Call, Target
from trunkline.loadtest.recorder import OK

_OPTIONS = [
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class Asker:
    """One channel to one target. Items are encoded pictures, or pixels, encoded into requests beforehand."""

    def __init__(self, target: Target, items: Sequence[bytes]) -> None:
        self._target = target
        self._channel = grpc.aio.insecure_channel(target.address, options=_OPTIONS)
        self._asks = [target.calls(item) for item in items]
        self._next = 0
        self._details = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def ask(self, timeout_s: float) -> str:
        """One complete answer about the next picture. Returns OK, or the name of the first status that is another."""
        self._next = (self._next + 1) % len(self._asks)
        return (await self.send(self._asks[self._next], timeout_s))[0]

    async def send(self, calls: Sequence[Call], timeout_s: float) -> tuple[str, list[bytes]]:
        """OK with the answers, or a status name with none."""
        found = await asyncio.gather(*(self._send(call, timeout_s) for call in calls), return_exceptions=True)
        answers: list[bytes] = []
        for each in found:
            if isinstance(each, grpc.RpcError):
                self._details = each.details() or ""
                return each.code().name, []
            if isinstance(each, BaseException):
                raise each
            answers.append(each)
        return OK, answers

    async def labels(self, item: bytes, timeout_s: float) -> list[str]:
        """The best label of each head, once the server can answer.

        Raises LookupError where it does not know such calls, TimeoutError after `timeout_s`.
        """
        calls, code = self._target.calls(item), ""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    code, answers = await self.send(calls, timeout_s)
                    if code == OK:
                        return self._target.read(answers)
                    if code == "UNIMPLEMENTED":  # which no waiting changes
                        raise LookupError(f"{calls[0].method}: {code}, {self._details}")
                    await asyncio.sleep(0.1)
        except TimeoutError:
            text = f"{calls[0].method}: no answer in {timeout_s:g} s: {code} {self._details}"
            raise TimeoutError(text) from None

    def _send(self, call: Call, timeout_s: float) -> "grpc.aio.UnaryUnaryCall[bytes, bytes]":
        method = self._channel.unary_unary(call.method, request_serializer=None, response_deserializer=None)
        return method(call.request, timeout=timeout_s)
