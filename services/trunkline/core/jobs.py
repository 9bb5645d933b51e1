"""Training jobs as values: what the job store keeps, the service answers and the client shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trunkline.core.progress import Epoch
from trunkline.core.train_request import TrainRequest


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class JobProgress:
    """`done` of `total` pieces of a stage; the last epoch that was finished; an estimate for the stage in seconds.

    remarks: on the data, what was read otherwise than it stands there, or left out. left_out: objects and pictures.
    """

    stage: str
    done: int
    total: int
    epoch: Epoch | None = None
    time_left_s: float | None = None
    remarks: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class JobError:
    """Why a job failed. code: number of a google.rpc.Code; reason: a constant for programs."""

    code: int
    reason: str
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """A training job. Times are UTC; progress is None before it was started.

    attempt: how many times it was started. model_version: of the head that was published, "" where none is.
    last_sequence: number of its last event.
    """

    id: str
    request: TrainRequest
    state: JobState
    progress: JobProgress | None
    attempt: int
    metrics: Mapping[str, float]
    model_version: str
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    cancel_requested: bool
    last_sequence: int


@dataclass(frozen=True)
class StateChange:
    """The state that a job is in from now on. note: why, where it is not the plain course, or ""."""

    state: JobState
    attempt: int
    note: str = ""


@dataclass(frozen=True)
class JobEvent:
    """One thing that happened to a job. sequence: grows from event to event of a job, not without gaps."""

    sequence: int
    at: datetime
    what: StateChange | JobProgress | Epoch
