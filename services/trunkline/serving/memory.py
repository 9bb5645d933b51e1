"""Memory of this process: what it takes, and that what was freed goes back to the system."""

import ctypes
import functools
import os
from typing import Any

_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 4 * 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def give_back_freed() -> None:
    """To be called after something large was loaded.

    glibc keeps what was freed for what may come; elsewhere nothing is done.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _mallopt() -> Any:
    return getattr(ctypes.CDLL(None), "mallopt", None)


@functools.cache
def _malloc_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def keep_large_apart() -> None:
    """Memory of 4 MiB and more is taken from the system each time and given back as soon as it is free.

    glibc does so at first, and stops at the first large block that is freed: then holes between what stays are kept.
    """
    set_option = _mallopt()
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def resident_bytes() -> int:
    """Memory of this process that is in use; 0 where the system does not tell."""
    try:
        return int(os.pread(_statm(), 128, 0).split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


@functools.cache
def _statm() -> int:
    """Kept open, as it is read every moment."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
