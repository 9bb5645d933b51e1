"""Rows of the job store as values, and the two changes that every part of it makes: an event, and a new state."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trunkline.core.errors import NotFoundError
from trunkline.core.jobs import Job, JobError, JobEvent, JobProgress, JobState, StateChange
from trunkline.core.progress import Epoch
from trunkline.core.train_request import TrainRequest
from trunkline.jobs.database import clock
from trunkline.jobs.schema import EventRow, JobRow

_LONGEST_STAGE = 64


def job_of(row: JobRow) -> Job:
    return Job(
        id=row.id,
        request=TrainRequest.model_validate(row.request),
        state=JobState(row.state),
        progress=_progress(row.progress) if row.progress else None,
        attempt=row.attempt,
        metrics={name: float(value) for name, value in row.metrics.items()},
        model_version=row.model_version,
        error=JobError(**row.error) if row.error else None,
        created_at=_time(row.created_at),
        started_at=None if row.started_at is None else _time(row.started_at),
        ended_at=None if row.ended_at is None else _time(row.ended_at),
        cancel_requested=row.cancel_requested,
        last_sequence=row.last_sequence,
    )


def event_of(row: EventRow) -> JobEvent:
    what: StateChange | JobProgress | Epoch
    match row.kind:
        case "state":
            what = StateChange(**{**row.payload, "state": JobState(row.payload["state"])})
        case "progress":
            what = _progress(row.payload)
        case _:
            what = _epoch(row.payload)
    return JobEvent(row.sequence, _time(row.at), what)


def locked(session: Session, job: str) -> JobRow:
    """The row of a job, held until the transaction ends. Raises NotFoundError."""
    row = session.scalar(select(JobRow).where(JobRow.id == job).with_for_update())
    if row is None:
        raise no_such_job(job)
    return row


def no_such_job(job: str) -> NotFoundError:
    return NotFoundError(f"there is no job {job!r}; `trunkline jobs list` shows them", job=job)


def add_event(session: Session, row: JobRow, what: StateChange | JobProgress | Epoch) -> None:
    """Append an event; of the progress within a stage, only the last is kept."""
    row.last_sequence += 1
    kind, stage = _kind(what)
    if kind == "progress":
        older = (EventRow.job == row.number) & (EventRow.kind == kind) & (EventRow.stage == stage)
        session.execute(delete(EventRow).where(older))
        row.progress = storable(asdict(what))
    event = EventRow(job=row.number, sequence=row.last_sequence, at=clock(session), kind=kind, stage=stage)
    event.payload = storable(asdict(what))
    session.add(event)


def set_state(session: Session, row: JobRow, state: JobState, note: str = "") -> None:
    """Change the state and tell so. A state other than RUNNING belongs to no worker."""
    row.state = state.value
    now = clock(session)
    if state is JobState.RUNNING:
        row.started_at = row.started_at or now
    else:
        row.owner, row.lease_until = "", 0.0
    if state.final:
        row.ended_at = now
    add_event(session, row, StateChange(state, row.attempt, note))


def fail(session: Session, row: JobRow, error: JobError) -> None:
    """End a job with an error."""
    row.error = asdict(error)
    set_state(session, row, JobState.FAILED, error.message)


def storable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as JSON that every database takes: numbers that are not finite, of which JSON has none, as text."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return storable(value)
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return {name: plain(value) for name, value in fields.items()}


def _kind(what: StateChange | JobProgress | Epoch) -> tuple[str, str]:
    if isinstance(what, JobProgress):
        return "progress", what.stage[:_LONGEST_STAGE]
    return ("state", "") if isinstance(what, StateChange) else ("epoch", "")


def _progress(fields: Mapping[str, Any]) -> JobProgress:
    epoch = fields["epoch"]
    return JobProgress(**{**fields, "epoch": _epoch(epoch) if epoch else None})


def _epoch(fields: Mapping[str, Any]) -> Epoch:
    numbers = ("train_loss", "validation_loss", "validation_metric")
    return Epoch(**{**fields, **{name: float(fields[name]) for name in numbers if fields[name] is not None}})


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
