"""The port through which workers are started and stopped: as local processes, or somewhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

WORKER_MODULE = "trunkline.training.worker"
TORCHRUN_MODULE = "trunkline.training.torchrun"
OWNER = "TRUNKLINE_WORKER_OWNER"


@dataclass(frozen=True)
class Launch:
    """A worker to start: `python ARGUMENTS` with these variables, which hold all that it needs.

    name: unique to this start, of a-z 0-9 and -, such as a Kubernetes Job may have.
    """

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class WorkerStatus:
    """What is seen of a worker. alive: None where it cannot be said. fate: what became of it, where that is known."""

    alive: bool | None
    fate: str = "is gone"


class Launcher(Protocol):
    """Starts workers. A handle is a string that is stored with the job and means something after a restart too."""

    async def start(self, launch: Launch) -> str:
        """Start a worker and return its handle. Raises OSError or TrunklineError where that cannot be done."""

    async def look(self, handle: str) -> WorkerStatus:
        """What is seen of a worker. A handle of another launcher or machine: nothing can be said."""

    async def stop(self, handle: str, *, force: bool) -> None:
        """Tell a worker and all that it started to stop, by force where it did not; nothing where it is gone."""
