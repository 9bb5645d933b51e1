"""Folders in which models are built aside: held by the process that builds, swept once that process is gone."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trunkline.core.errors import ConfigurationError

STAGING_PREFIX = ".export-"
_LOCK_FILE = ".lock"
_NEW_S = 10.0  # a folder is made before it is held


@contextmanager
def staging(models: Path) -> Iterator[Path]:
    """A folder inside `models`, on the same file system, gone afterwards with all that is still in it.

    Raises ConfigurationError where `models` cannot be written.
    """
    made = not models.exists()
    try:
        models.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=models))
    except OSError as error:
        raise ConfigurationError(f"the model folder {models} cannot be written: {error.strerror}") from error
    try:
        with held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made:
            with suppress(OSError):
                models.rmdir()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a staging folder from being swept. The kernel lets go when this process ends, however it ends."""
    lock = os.open(folder / _LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def sweep_staging(models: Path, min_age_s: float = _NEW_S, prefix: str = STAGING_PREFIX) -> list[Path]:
    """Remove the staging folders in a model folder that no process holds any more. Returns them."""
    return [folder for folder in models.glob(f"{prefix}*") if _abandoned(folder, min_age_s) and _remove(folder)]


def _abandoned(folder: Path, min_age_s: float) -> bool:
    try:
        if time.time() - folder.stat().st_mtime < min_age_s:
            return False
        lock = os.open(folder / _LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return folder.is_dir()  # made, but its process died before it was held
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _remove(folder: Path) -> bool:
    with suppress(OSError):
        shutil.rmtree(folder)
        return True
    return False
