"""numpy's files, read from several threads.

numpy parses their headers by `ast`, which CPython 3.11 does not bear from two threads at a moment: now and then one
gets a SystemError ("AST constructor recursion depth mismatch").
"""

import threading
from pathlib import Path

import numpy as np

_PARSING = threading.Lock()


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file, in memory. Raises OSError, and ValueError where it is damaged."""
    with _PARSING:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.array(mapped)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name. Raises OSError, ValueError and others where it is damaged."""
    with _PARSING, path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}
