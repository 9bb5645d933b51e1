"""Files and folders of arenas: found by id, swept once nobody holds them."""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from trunkline.core.staging import held, sweep_staging

SUFFIX = ".arena"
_MEMORY = Path("/dev/shm")
_PREFIX = "trunkline-split-"
_ID = re.compile(r"[0-9a-f]{32}")
_NEW_S = 10.0  # a file is made before it is held


def is_id(text: str) -> bool:
    """Whether this can be the id of an arena: what is not never becomes a part of a path."""
    return _ID.fullmatch(text) is not None


def ids_in(folder: Path) -> list[str]:
    """Ids of the arenas in a folder, in order; none where there is no such folder."""
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}") if is_id(path.stem))


def sweep(folder: Path) -> list[Path]:
    """Remove the arenas whose process has died. Returns them."""
    found = [*folder.glob(f"*{SUFFIX}"), *(path for path in folder.glob("*.new") if _is_old(path))]
    swept = [path for path in found if is_id(path.stem) and _abandoned(path)]
    for path in swept:
        path.unlink(missing_ok=True)
    return swept


@contextlib.contextmanager
def private_folder() -> Iterator[Path | None]:
    """A folder in memory for the processes of this user, gone afterwards; None where the machine has none.

    Folders of owners that died without removing theirs are swept.
    """
    if not (_MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)):
        yield None
        return
    sweep_staging(_MEMORY, prefix=_PREFIX)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_MEMORY))  # mode 0700
    try:
        with held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_old(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime >= _NEW_S
    return False


def _abandoned(path: Path) -> bool:
    """The kernel lets go of a lock when its process ends, however it ends."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
