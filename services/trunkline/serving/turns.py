"""How many messages may be on their way at a time before anybody knows how large they are."""

import asyncio
from collections import deque

from trunkline.core.errors import MemoryFullError

PATIENCE_S = 5.0  # that the one message of a call waits until it may come
_MOST_WAITING = 1024  # each keeps up to 64 KiB of its message in gRPC's buffers meanwhile
_Turn = tuple[int, asyncio.Future[None]]


class Turns:
    """Messages that begin to be received, each counted as the largest that its method allows.

    What waits takes turns by connection: many calls of one caller do not keep those of others waiting. For the
    event loop alone.
    """

    def __init__(self, room_bytes: int) -> None:
        """`room_bytes`: for all that are under way; one alone may be larger."""
        self._room_bytes = room_bytes
        self._under_way_bytes = 0
        self._is_open = True
        self._waiting: dict[str, deque[_Turn]] = {}  # by connection, whose turn is next first
        self._waiting_count = 0

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiting)

    def allow(self, is_open: bool) -> None:
        """Whether messages may begin at all from now on."""
        self._is_open = is_open
        self._admit()

    async def begin(self, most_bytes: int, peer: str, patience_s: float | None = PATIENCE_S) -> None:
        """Returns when a message of at most `most_bytes` may begin; to be followed by end().

        patience_s: None for the next one of a stream, which can hold back for as long as it takes. Raises
        MemoryFullError, and then nothing of the message was read, so it may be sent again anywhere.
        """
        if not self._waiting and self._fits(most_bytes):
            self._under_way_bytes += most_bytes
            return
        if self._waiting_count >= _MOST_WAITING:
            raise _full()
        turn = most_bytes, asyncio.get_running_loop().create_future()
        self._waiting.setdefault(peer, deque()).append(turn)
        self._waiting_count += 1
        try:
            async with asyncio.timeout(patience_s):
                await asyncio.shield(turn[1])
        except BaseException as error:
            self._leave(peer, turn)
            if isinstance(error, TimeoutError):
                raise _full() from None
            raise

    def end(self, most_bytes: int) -> None:
        """The message has come, or takes so long that the memory of the process tells what it takes."""
        self._under_way_bytes -= most_bytes
        self._admit()

    def _fits(self, most_bytes: int) -> bool:
        free_bytes = self._room_bytes - self._under_way_bytes
        return self._is_open and (most_bytes <= free_bytes or not self._under_way_bytes)

    def _admit(self) -> None:
        while self._waiting:
            peer, turns = next(iter(self._waiting.items()))
            most_bytes, admitted = turns[0]
            if not self._fits(most_bytes):
                return
            self._under_way_bytes += most_bytes
            admitted.set_result(None)
            self._remove(peer, turns[0])

    def _leave(self, peer: str, turn: _Turn) -> None:
        if turn[1].done():  # it may begin, in the moment in which its call ends
            self.end(turn[0])
        else:
            self._remove(peer, turn)

    def _remove(self, peer: str, turn: _Turn) -> None:
        turns = self._waiting.pop(peer)
        turns.remove(turn)
        self._waiting_count -= 1
        if turns:
            self._waiting[peer] = turns


def _full() -> MemoryFullError:
    return MemoryFullError("too many large requests come at once: send it again, it was not read", retry_after_s=1.0)
