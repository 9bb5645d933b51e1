"""Ids of the pictures of one stream: without them, or with equal ones, the caller could not tell answers apart."""

from collections import deque

from trunkline.core.errors import InvalidRequestError
from trunkline.core.text import shown

REMEMBERED = 1000  # a stream may have any number of pictures, so not all of their ids are kept


class Ids:
    """The ids of the last pictures of a stream."""

    def __init__(self) -> None:
        self._last: deque[int] = deque()
        self._known: set[int] = set()
        self._read = 0

    def take(self, given: str) -> InvalidRequestError | None:
        """What is wrong with the id of the next picture: it is empty, or that of one of the last REMEMBERED."""
        number, key = self._read, hash(given)
        self._read += 1
        where = f"picture {number} of the stream, counted from 0,"
        if not given:
            return InvalidRequestError(
                f"{where} has no id: set its field id, which the answers carry", picture=number
            )
        if key in self._known:
            return InvalidRequestError(
                f"{where} has the id {shown(given)!r} of one before: give each picture an id of its own",
                picture=number,
            )
        self._remember(key)
        return None

    def _remember(self, key: int) -> None:
        if len(self._last) == REMEMBERED:
            self._known.discard(self._last.popleft())
        self._last.append(key)
        self._known.add(key)
