"""Real training services and small real data for tests of jobs."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import Server, start_server
from trunkline.client import FitOptions, TrainRequest

WITHIN_S = 90.0


def request(data: Path, epochs: int = 8, **changes) -> TrainRequest:
    fields = {"name": "photos", "data": str(data), "spec": {"width": 128, "height": 128}}
    return TrainRequest(**{**fields, "options": FitOptions(epochs=epochs), **changes})


@dataclass(frozen=True)
class Place:
    """Where a training service keeps everything."""

    folder: Path
    database: str

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "TRUNKLINE_MODELS": str(self.models),
            "TRUNKLINE_TRAINING_DATABASE": self.database,
            "TRUNKLINE_TRAINING_WORK": str(self.work),
            "TRUNKLINE_TRAINING_CACHE": str(self.folder / "cache"),
            **more,
        }

    def left_over(self) -> list[str]:
        """What jobs left in the work folder and beside the models."""
        work = self.work.iterdir() if self.work.exists() else ()
        return [path.name for path in (*work, *self.models.glob(".*"))]

    def versions(self, head: str = "photos") -> list[str]:
        folders = self.models.glob(f"heads/{head}/*")
        return sorted(path.name for path in folders if path.name.isdecimal())


def make_place(folder: Path, models: Path, database: str = "") -> Place:
    (folder / "models").mkdir(parents=True)
    (folder / "models/backbones").symlink_to(models / "backbones")
    return Place(folder, database or f"sqlite:///{folder}/jobs.db")


@contextmanager
def start_training(place: Place, log: str = "log", **environment: str) -> Iterator[Server]:
    with start_server(place.folder / log, "training", **place.environment(**environment)) as server:
        yield server


def worker_of(server: Server) -> psutil.Process:
    """The worker of a service that has just one."""
    return next(iter(psutil.Process(server.process.pid).children()))


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def has_ended(process: psutil.Process) -> bool:
    """Whether a process that may be another's child runs no more."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, "not within time"
        time.sleep(0.05)
