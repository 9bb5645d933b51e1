"""Long work is done in steps, between which its thread may do what is short and waits for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_here = threading.local()  # .between: what this thread does between two steps


def between_steps() -> None:
    """To be called by work that takes long, after each some ten milliseconds; does nothing elsewhere."""
    between: Callable[[], None] | None = getattr(_here, "between", None)
    if between is not None:
        between()


@contextmanager
def in_steps(between: Callable[[], None] | None) -> Iterator[None]:
    """Within it, `between` is done on this thread at each `between_steps`; nothing where it is None."""
    before, _here.between = getattr(_here, "between", None), between
    try:
        yield
    finally:
        _here.between = before
