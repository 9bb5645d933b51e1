"""Memory of this process: what it takes, and that what was freed goes back to the system."""

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


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


def resident_bytes() -> int:
    """Memory of this process that is in use; 0 where the system does not tell."""
    try:
        with _STATM.open("rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
