"""Pages of a list, by the rules of the API: 0 is the default, too large is cut, negative is an error."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from trunkline.core.errors import InvalidRequestError

DEFAULT_SIZE, LARGEST_SIZE = 100, 1000
T = TypeVar("T")


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
