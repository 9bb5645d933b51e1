"""Pages of a list, by the rules of the API: 0 is the default, too large is cut, negative is an error."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from trunkline.core.errors import InvalidRequestError

DEFAULT_SIZE, LARGEST_SIZE = 100, 1000
# So that a page fits into a message of 4 MiB, what clients take at most unless they are told otherwise.
LARGEST_BYTES = 3 * 1024 * 1024
T = TypeVar("T")
M = TypeVar("M", bound=Message)


def message_page(
    items: Sequence[T], key: Callable[[T], str], convert: Callable[[T], M], size: int, token: str
) -> tuple[list[M], str]:
    """The same as messages, fewer where they are large, but at least one."""
    part, following = page(items, key, size, token)
    messages: list[M] = []
    room = LARGEST_BYTES
    for place, message in enumerate(map(convert, part)):
        room -= message.ByteSize()
        if room < 0 and messages:
            return messages, key(part[place - 1])
        messages.append(message)
    return messages, following


def page(items: Sequence[T], key: Callable[[T], str], size: int, token: str) -> tuple[Sequence[T], str]:
    """The items after `token` and the token of the next page ("" for none); items are in order of their key.

    The token is the key of the last item seen, so items that come or go in between shift nothing.
    Raises InvalidRequestError for a negative size.
    """
    if size < 0:
        raise InvalidRequestError(f"page_size is {size}; it must not be negative")
    wanted = min(size or DEFAULT_SIZE, LARGEST_SIZE)
    rest = [item for item in items if key(item) > token]
    part = rest[:wanted]
    return part, key(part[-1]) if len(rest) > wanted else ""
