"""What libtiff would write to standard error itself, a line for each damaged row, becomes one line of the log."""

import ctypes
import importlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_log = logging.getLogger(__name__)
_here = threading.local()  # .lines: of the picture that this thread reads
# module, format of printf, and its arguments, which are left alone: how they are passed differs by machine
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


def _keep(module: bytes | None, text: bytes | None, _: Any) -> None:
    lines: list[str] | None = getattr(_here, "lines", None)
    if lines is not None:
        lines.append("" if lines else f"{(module or b'').decode(errors='replace')}: {(text or b'').decode()[:200]}")


_kept = _Handler(_keep)  # to live as long as the library may call it


def _install() -> None:
    """Into the libtiff that Pillow uses, found through Pillow's own library; left as it is where that cannot be."""
    try:
        library = ctypes.CDLL(importlib.import_module("PIL._imaging").__file__)
        set_errors, set_warnings = library.TIFFSetErrorHandler, library.TIFFSetWarningHandler
    except (AttributeError, OSError):  # a Pillow without libtiff, or a system that hides what is linked in
        return
    for install in (set_errors, set_warnings):
        install.argtypes, install.restype = [_Handler], ctypes.c_void_p
        install(_kept)


@contextmanager
def one_line() -> Iterator[None]:
    """Within it, what libtiff says on this thread is counted, and logged at the end."""
    lines: list[str] = []
    _here.lines = lines
    try:
        yield
    finally:
        _here.lines = None
        if lines:
            _log.info("libtiff about a picture: %s (%d lines in all)", lines[0], len(lines))


_install()
