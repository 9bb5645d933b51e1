"""A fresh service of a checkout, watched while something happens to it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.hostile.case import HEAD, SPLIT, Form, Where
from benchmarks.hostile.cgroups import Containers
from benchmarks.launch import wait_serving
from benchmarks.servers import free_port
from benchmarks.usage import tree

ROOT = Path(__file__).parents[2]
GUARD_MIB = 6 * 1024  # of the whole tree: then it is killed, for the sake of the machine
_SAMPLE_S = 0.05
_STOPS_WITHIN_S = 40


class Service:
    """Started by entering; `checkout` is whose code it runs."""

    def __init__(
        self,
        form: Form,
        checkout: Path,
        folder: Path,
        settings: Mapping[str, str],
        seconds: float,
        containers: Containers | None = None,
    ) -> None:
        """containers: whose limits hold for the processes."""
        self._form, self._checkout, self._folder = form, checkout, folder
        self._settings, self._seconds = settings, seconds
        self.idle = _Memory()
        self.peak = _Memory()
        self.end = ""  # why it is gone, where it is
        self.stopped_s = 0.0
        self.limits = ""  # what became of them
        self._containers = containers
        self._over = threading.Event()

    def __enter__(self) -> Where:
        """Raises TimeoutError, and RuntimeError with the last lines of its log, where it does not serve."""
        models = shutil.copytree(self._checkout / "models", self._folder / "models")  # cases change it
        address, http = (f"127.0.0.1:{free_port()}" for _ in range(2))
        role = {HEAD: ("head",), SPLIT: ("--split",)}.get(self._form, ())
        command = [sys.executable, "-m", "trunkline.cli.main", "serve", *role, "--address", address]
        if self._form != HEAD:
            command += ["--http", http]
        settings = {**os.environ, **_environment(self._folder, models), **self._settings}
        settings["PYTHONPATH"] = str(self._checkout / "services")
        self._log = self._folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, env=settings)
        self._watched = psutil.Process(self._process.pid)
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            wait_serving(address, self._watched)
        except (TimeoutError, psutil.Error) as error:
            self.__exit__()
            raise RuntimeError(f"it did not start: {self._last_line()}") from error
        where_http = "" if self._form == HEAD else http
        return Where(address, where_http, self._process.pid, self._folder, models, self._seconds)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._containers is not None:
            self.limits = self._containers.close()
        if self._process.poll() is not None:
            self.end = self.end or f"ended with {self._process.returncode}"
            return
        below = tree(self._watched)
        began_at = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.end = self.end or f"not stopped within {_STOPS_WITHIN_S} s"
        self.stopped_s = time.monotonic() - began_at
        _kill(below)
        self._process.wait()

    def mark_idle(self) -> None:
        """What it holds now is what counts as idle; the peak begins anew."""
        self.idle = _Memory.of(self._watched)
        self.peak = self.idle

    def note_end(self) -> None:
        if self._process.poll() is not None:
            self.end = self.end or f"ended with {self._process.returncode}"

    def memory_mib(self) -> float:
        """Resident, of the whole tree."""
        return _Memory.of(self._watched).total

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            with suppress(psutil.Error):
                if self._containers is not None:
                    self._containers.confine(tree(self._watched))
                now = _Memory.of(self._watched)
                self.peak = self.peak.larger(now)
                if now.total > GUARD_MIB:
                    self.end = f"killed at {GUARD_MIB // 1024} GiB"
                    _kill(tree(self._watched))
                    return

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:160] if lines else "its log is empty"


class _Memory:
    """Resident memory in MiB: of all processes together, and of the largest one."""

    def __init__(self, total: float = 0.0, largest: float = 0.0) -> None:
        self.total, self.largest = total, largest

    @classmethod
    def of(cls, process: psutil.Process) -> "_Memory":
        found = []
        for part in tree(process):
            with suppress(psutil.Error):
                found.append(part.memory_info().rss / 2**20)
        return cls(sum(found), max(found, default=0.0))

    def larger(self, other: "_Memory") -> "_Memory":
        return _Memory(max(self.total, other.total), max(self.largest, other.largest))


def _environment(folder: Path, models: Path) -> dict[str, str]:
    return {
        "TRUNKLINE_MODELS": str(models),
        "TRUNKLINE_FEATURE_CACHE_BYTES": "0",
        "TRUNKLINE_GALLERY_DATABASE": f"sqlite:///{folder}/galleries.db",
        "TRUNKLINE_GALLERY_INDEX": str(folder / "index"),
        "TRUNKLINE_TRAINING_DATABASE": f"sqlite:///{folder}/jobs.db",
        "TRUNKLINE_TRAINING_WORK": str(folder / "work"),
        "TRUNKLINE_TRAINING_CACHE": str(folder / "features"),
    }


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=5)
