"""How much memory a process has, as its parent sees it."""

import os
from pathlib import Path
from typing import Final

from trunkline.core.files import MIB

GIB: Final = 1024 * MIB
LOOK_S: Final = 0.1  # between two looks; memory grows by 1 to 3 GB in a second


def resident_bytes(pid: int) -> int:
    """Of a process; 0 for one that is gone, and where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def memory_limit(most: int) -> int:
    """`most` bytes, or three quarters of the memory of this machine or container where that is less."""
    known = [size for size in (_physical(), *_of_cgroup()) if size > 0]
    return min(most, *(size * 3 // 4 for size in known)) if known else most


def _physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _of_cgroup() -> list[int]:
    """The limit that a container sees, of version 2 and 1."""
    found = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # there is none, or "max"
            continue
    return found
