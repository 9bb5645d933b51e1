"""Objects below a URL, through fsspec; the one place that knows it. Blocks, so not for event loops.

Every method raises StorageError where the store cannot be used: the text names the kind of failure, the log has more.
"""

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trunkline.core.errors import ConfigurationError, StorageError

# A store that is away shall be known within seconds; what waits for it tries again.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "file": {"auto_mkdir": True},
    "s3": {"config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 2}}},
}
_CONDITION_FAILED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}  # what S3 says
_log = logging.getLogger(__name__)
for _talkative in ("aiobotocore", "botocore"):  # which credentials they found, each time
    logging.getLogger(_talkative).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Entry:
    """An object in a listing. state: changes whenever its content does. modified: seconds since 1970, or 0."""

    state: str
    modified: float = 0.0


class RemoteObjects:
    """Objects by their path below the URL."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises ConfigurationError where a package is missing or the URL is none."""
        self.url = without_secrets(url)
        protocol = url.partition("://")[0]
        try:
            import fsspec

            options = {"use_listings_cache": False, "skip_instance_cache": True, **_OPTIONS.get(protocol, {})}
            self._files, self._root = fsspec.core.url_to_fs(url.rstrip("/"), **options)
        except ImportError as error:
            raise ConfigurationError(
                f"models at {self.url} need a package that is not installed: pip install 'trunkline[cpu,s3]' for "
                "s3://, or what fsspec needs for another kind of store"
            ) from error
        except ValueError as error:
            raise ConfigurationError(
                f"models at {self.url}: there is no such kind of store; write a folder, or a URL such as "
                "s3://BUCKET/PREFIX"
            ) from error
        self._compares = "s3" in _protocols(self._files)

    def list(self) -> dict[str, Entry]:
        """All objects; one request for a thousand of them."""
        with self._asked():
            found = self._files.find(self._root, detail=True)
        root = self._root.rstrip("/") + "/"
        return {path.removeprefix(root): _entry(info) for path, info in found.items()}

    def read(self, path: str) -> bytes | None:
        """The content; None where there is no such object."""
        with self._asked():
            try:
                return bytes(self._files.cat_file(self._at(path)))
            except FileNotFoundError:
                return None

    def state(self, path: str) -> str:
        """As in a listing; "" where there is no such object."""
        with self._asked():
            try:
                return _entry(self._files.info(self._at(path))).state
            except FileNotFoundError:
                return ""

    def create(self, path: str, content: bytes) -> bool:
        """Write an object that must not be there yet. Returns whether it holds this content now.

        Of several that do this at the same moment, one succeeds, as far as the store can do that: S3 and those that
        speak it, Google's, Azure's, and folders nearly.
        """
        with self._asked():
            try:
                self._files.pipe_file(self._at(path), content, mode="create")
            except OSError as error:
                if not _is_conflict(error):
                    raise
        # Also where it was written: a server that knows no conditions lets two in, and the last one has it.
        return self.read(path) == content

    def replace(self, path: str, content: bytes, state: str) -> bool:
        """Write an object that must still be in this state. Returns whether it holds this content now.

        S3 compares and writes in one; elsewhere a change in between is lost.
        """
        conditions = {"IfMatch": state} if self._compares else {}
        if not self._compares and self.state(path) != state:
            return False
        with self._asked():
            try:
                self._files.pipe_file(self._at(path), content, **conditions)
            except OSError as error:
                if not (_is_conflict(error) or isinstance(error, FileNotFoundError)):
                    raise
        return self.read(path) == content

    def upload(self, file: Path, path: str) -> None:
        """Write an object, whatever was there."""
        with self._asked():
            self._files.put_file(str(file), self._at(path))

    def download(self, path: str, file: Path) -> None:
        """Read an object into a file; one that is gone is a failure."""
        with self._asked():
            self._files.get_file(self._at(path), str(file))

    def remove(self, path: str) -> None:
        """Remove an object, if it is there."""
        with self._asked():
            try:
                self._files.rm_file(self._at(path))
            except FileNotFoundError:
                return

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # libraries of stores have errors of all kinds
            _log.debug("%s failed", self.url, exc_info=error)
            if isinstance(error, FileNotFoundError):
                raise StorageError(f"{self.url} is not there, or an object in it is gone: check the name") from error
            raise StorageError(
                f"{self.url} cannot be used ({type(error).__name__}): check that it can be reached, and the "
                "credentials; TRUNKLINE_LOG_LEVEL=DEBUG shows more"
            ) from error


def without_secrets(url: str) -> str:
    """The URL without user name and password."""
    return re.sub(r"//[^/@]*@", "//", url.rstrip("/"))


def _protocols(files: Any) -> tuple[str, ...]:
    named = files.protocol
    return (named,) if isinstance(named, str) else tuple(named)


def _entry(info: Mapping[str, Any]) -> Entry:
    modified = next((info[key] for key in ("LastModified", "mtime", "created", "updated") if info.get(key)), 0.0)
    seconds = modified.timestamp() if isinstance(modified, datetime) else modified
    seconds = float(seconds) if isinstance(seconds, int | float) else 0.0
    tag = info.get("ETag") or info.get("etag")
    return Entry(str(tag) if tag else f"{info.get('size')} {modified}", seconds)


def _is_conflict(error: OSError) -> bool:
    response = getattr(error.__cause__, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", ""))
    return isinstance(error, FileExistsError) or code in _CONDITION_FAILED


def digest_of(states: Mapping[str, Entry]) -> str:
    """One state for several objects."""
    text = "\n".join(f"{name} {entry.state}" for name, entry in sorted(states.items()))
    return hashlib.sha256(text.encode()).hexdigest()
