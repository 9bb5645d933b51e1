"""A disk that stops answering, for a process under test: what opens or lists a path there waits until it is back.

A read that hangs cannot be had otherwise without a network file system, as a FIFO is seen to be no file. Here files
are files, and the wait is where theirs would be, in the call that opens them.
"""

import os
from pathlib import Path

_HOOK = """
import os, sys, time

_FOLDER = os.environ["TRUNKLINE_TEST_DISK"]


def _wait(event, args):
    if event not in ("open", "os.listdir", "os.scandir") or not isinstance(args[0], (str, bytes, os.PathLike)):
        return
    path = os.path.abspath(os.fsdecode(args[0]))
    for away in os.environ["TRUNKLINE_TEST_DISK_AWAY"].split(":"):
        if (path == away or path.startswith(away + "/")) and os.path.lexists(_marker(away)):
            asked = os.path.join(_FOLDER, "asked")
            if not os.path.lexists(asked):
                os.mkdir(asked)
            while os.path.lexists(_marker(away)):
                time.sleep(0.05)


def _marker(away):
    return os.path.join(_FOLDER, "away-" + away.replace("/", "%"))


sys.addaudithook(_wait)
"""


class Disk:
    """Paths that can be taken away from processes that are started with `environment`, and given back."""

    def __init__(self, folder: Path, *paths: Path) -> None:
        """folder: for what the disk needs itself. paths: files and folders that may go away, as absolute paths."""
        self._folder = folder / "disk"
        self._folder.mkdir()
        (self._folder / "sitecustomize.py").write_text(_HOOK)
        search = [str(self._folder), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        self.environment = {
            "PYTHONPATH": os.pathsep.join(search),
            "TRUNKLINE_TEST_DISK": str(self._folder),
            "TRUNKLINE_TEST_DISK_AWAY": ":".join(map(str, paths)),
        }

    def take_away(self, path: Path) -> None:
        self._marker(path).touch()

    def bring_back(self, path: Path) -> None:
        self._marker(path).unlink()

    def is_asked(self) -> bool:
        """Whether a process waits, or has waited, for something that was away."""
        return (self._folder / "asked").exists()

    def _marker(self, path: Path) -> Path:
        return self._folder / ("away-" + str(path).replace("/", "%"))
