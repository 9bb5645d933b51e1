"""Memory that was freed goes back to the system."""

import ctypes
import functools
from typing import Any


def give_back_freed() -> None:
    """To be called after something large was loaded.

    glibc keeps what was freed for what may come; elsewhere nothing is done.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
