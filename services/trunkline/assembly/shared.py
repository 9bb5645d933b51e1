"""Shared memory as the settings say: who makes the folder, who writes, who reads."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from trunkline.serving.settings import Settings
from trunkline.serving.shared.files import private_folder
from trunkline.serving.shared.reader import ArenaReader
from trunkline.serving.shared.writer import Arena

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def shared_folder(settings: Settings) -> Iterator[str]:
    """The folder for the processes of a split form: the one that is set, or a private one; empty for none."""
    if settings.shared_memory or not settings.shared_memory_mib:
        yield settings.shared_memory
        return
    with private_folder() as folder:
        yield str(folder or "")


@contextlib.contextmanager
def arena(settings: Settings) -> Iterator[Arena | None]:
    """The arena of a backbone service; None where sharing is off, or cannot be had, which stops no serving."""
    shared = _open(settings) if _on(settings) else None
    try:
        yield shared
    finally:
        if shared is not None:
            shared.close()


def arena_reader(settings: Settings) -> ArenaReader | None:
    """For a head service; None where sharing is off."""
    return ArenaReader(Path(settings.shared_memory)) if _on(settings) else None


def _on(settings: Settings) -> bool:
    return bool(settings.shared_memory and settings.shared_memory_mib)


def _open(settings: Settings) -> Arena | None:
    try:
        return Arena(Path(settings.shared_memory), settings.shared_memory_mib)
    except OSError as error:
        _log.warning("no features are shared through %s: %s", settings.shared_memory, error.strerror)
        return None
