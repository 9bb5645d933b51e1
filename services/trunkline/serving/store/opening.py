"""From what TRUNKLINE_MODELS says to models that can be read, and following them while a process runs."""

import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline.core.errors import StorageError
from trunkline.core.store import FolderStore, ModelStore
from trunkline.serving.settings import Settings
from trunkline.serving.store.remote import without_secrets

_log = logging.getLogger(__name__)


def open_store(settings: Settings) -> ModelStore:
    """The model repository of these settings."""
    return open_models(settings.models, settings.models_cache)


def open_models(where: str, cache: Path) -> ModelStore:
    """A folder as it is, or a URL with its mirror below `cache`, brought up to date.

    A store that is away is a warning where an earlier pull has left models. Raises ConfigurationError for a URL that
    cannot be used, StorageError where there is nothing to go on with.
    """
    if "://" not in where:
        return FolderStore(Path(where))
    from trunkline.serving.store.store import RemoteStore

    store = RemoteStore(where, cache / hashlib.sha256(where.rstrip("/").encode()).hexdigest()[:16])
    try:
        store.pull()
    except StorageError as error:
        if not store.has_models():
            raise
        _log.warning("%s; continuing with the previous state", error)
    return store


@contextmanager
def following(store: ModelStore, every_s: float) -> Iterator[None]:
    """Meanwhile a thread keeps the models up to date; a store that is away costs a warning."""
    if isinstance(store, FolderStore):
        yield
        return
    stop = threading.Event()
    # A daemon: a store that does not answer must not hold up the end of the process.
    thread = threading.Thread(target=_follow, args=(store, every_s, stop), name="follow models", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=1.0)


def _follow(store: ModelStore, every_s: float, stop: threading.Event) -> None:
    trouble = ""
    while not stop.wait(every_s):
        try:
            store.pull(max_age_s=every_s / 2)
        except Exception as error:  # whatever it is, serving goes on with what is there
            found = str(error) if isinstance(error, StorageError) else f"{type(error).__name__}: {error}"
            if found != trouble and not stop.is_set():
                _log.warning(
                    "%s; continuing with the previous state", found, exc_info=not isinstance(error, StorageError)
                )
            trouble = found
        else:
            if trouble:
                _log.warning("%s answers again", without_secrets(store.where))
            trouble = ""
