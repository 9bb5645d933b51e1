"""Rows of the job store as values, and the two changes that every part of it makes: an event, and a new state."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trunkline.core.errors import JobStateError, NotFoundError
from trunkline.core.jobs import Job, JobError, JobEvent, JobProgress, JobState, StateChange
from trunkline.core.progress import Epoch
from trunkline.core.train_request import TrainRequest, stored_request
from trunkline.jobs.database import clock
from trunkline.jobs.schema import EventRow, JobRow

_LONGEST_STAGE = 64
_LONGEST_TEXT = 4096
# What a column that is damaged leads to, whatever is in it.
_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError)
_LEFT_OUT = "(too long for a list)"
_Row = TypeVar("_Row", JobRow, EventRow)
_Value = TypeVar("_Value", Job, JobEvent)
_log = logging.getLogger(__name__)


class DamagedError(JobStateError):
    """A job whose row cannot be read."""


def job_of(row: JobRow, *, brief: bool = False) -> Job:
    """brief: without what may be large, whose columns are not looked at. Raises DamagedError."""
    try:
        return _job_of(row, brief=brief)
    except _DAMAGE as error:
        raise DamagedError(
            f"job {row.id!r} cannot be read, as its entry in the database is damaged: remove it with: "
            f"trunkline jobs delete {row.id}",
            job=row.id,
        ) from error


def readable(rows: Iterable[_Row], convert: Callable[[_Row], _Value]) -> list[_Value]:
    """Those that can be read: a damaged one costs itself alone."""
    found = []
    for row in rows:
        try:
            found.append(convert(row))
        except (DamagedError, *_DAMAGE) as error:
            _log.warning("left out of an answer: %s", str(error)[: _LONGEST_STAGE * 4])
    return found


def _job_of(row: JobRow, *, brief: bool) -> Job:
    request = TrainRequest(name=row.name, data=_LEFT_OUT) if brief else stored_request(row.request)
    return Job(
        id=row.id,
        request=request,
        state=JobState(row.state),
        progress=None if brief or not row.progress else _progress(row.progress),
        attempt=row.attempt,
        metrics={} if brief else {name: float(value) for name, value in row.metrics.items()},
        model_version=row.model_version,
        error=None if brief or not row.error else JobError(**row.error),
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
    """End a job with an error, whose texts are cut."""
    metadata = {key: value[:_LONGEST_TEXT] for key, value in error.metadata.items()}
    row.error = asdict(replace(error, message=error.message[:_LONGEST_TEXT], metadata=metadata))
    set_state(session, row, JobState.FAILED, error.message[:_LONGEST_TEXT])


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
