"""A socket at which the HTTP port, and probes in the same container, reach this process: plain text, and private."""

import os
import stat
import tempfile
from pathlib import Path

from trunkline.core.errors import ConfigurationError
from trunkline.core.host_port import is_socket

_LONGEST = 107  # bytes of the path of a socket


def own_socket(address: str) -> str:
    """unix:PATH for the process that listens at HOST:PORT, in a folder that is for its user alone.

    A process at a socket already has that. Raises ConfigurationError where such a folder cannot be had.
    """
    if is_socket(address):
        return address
    folder = Path(tempfile.gettempdir()) / f"trunkline-{os.getuid()}"
    path = folder / f"{address.replace(':', '_').strip('[]')}.sock"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ConfigurationError(f"no socket can be made in {folder}: {error.strerror}; set TMPDIR") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigurationError(f"{folder} is not for this user alone: remove it, or set TMPDIR")
    if len(os.fsencode(path)) > _LONGEST:
        raise ConfigurationError(f"{path} is too long for a socket: set TMPDIR to a shorter one")
    return f"unix:{path}"


def remove_socket(address: str) -> None:
    """Once nobody listens there any more."""
    Path(address.removeprefix("unix:")).unlink(missing_ok=True)
