"""Which jobs may go, and room for new ones."""

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session, aliased

from trunkline.core.errors import JobStateError, QueueFullError, QuotaError
from trunkline.core.jobs import JobState
from trunkline.jobs.schema import EventRow, JobRow

ACTIVE = (JobState.QUEUED.value, JobState.RUNNING.value)
_MOST_ENDED, _GONE_AT_ONCE = 10_000, 500  # jobs that are kept; of more the oldest go, so many with each new one
_RETRY_AFTER_S = 60.0


def make_room(session: Session, queue: int) -> None:
    """For one job more, of which `queue` may wait. Of those that have ended, the oldest go where there are too many.

    Raises QueueFullError.
    """
    waiting = select(func.count()).select_from(JobRow).where(JobRow.state == JobState.QUEUED)
    if (session.scalar(waiting) or 0) >= queue:
        raise QueueFullError(
            f"{queue} training jobs wait already: try again later, or cancel some",
            retry_after_s=_RETRY_AFTER_S,
            limit=queue,
        )
    ended = select(JobRow.number).where(JobRow.state.in_([state.value for state in JobState if state.final]))
    first_kept = session.scalar(ended.order_by(JobRow.number.desc()).offset(_MOST_ENDED).limit(1))
    if first_kept is not None:
        gone = ended.where(JobRow.number <= first_kept, JobRow.swept, ~_needed_by_others()).limit(_GONE_AT_ONCE)
        numbers = session.scalars(gone).all()
        session.execute(delete(EventRow).where(EventRow.job.in_(numbers)))
        session.execute(delete(JobRow).where(JobRow.number.in_(numbers)))


def check_share(session: Session, identity: str, most: int | None) -> None:
    """For one job more of an identity, of whose jobs `most` may wait. Raises QuotaError."""
    if most is None:
        return
    waiting = select(func.count()).select_from(JobRow)
    waiting = waiting.where(JobRow.state == JobState.QUEUED, JobRow.identity == identity)
    if (session.scalar(waiting) or 0) >= most:
        raise QuotaError(
            f"{most} training jobs of {identity!r} wait already, as many as may: try again later, or cancel some",
            retry_after_s=_RETRY_AFTER_S,
            identity=identity,
            limit=most,
        )


def check_removable(session: Session, row: JobRow) -> None:
    """Raises JobStateError."""
    if row.state in ACTIVE:
        raise JobStateError(
            f"{row.id} has not ended: cancel it first, with: trunkline jobs cancel {row.id}",
            job=row.id,
            state=row.state,
        )
    if session.scalar(select(JobRow.number).where(JobRow.number == row.number, _needed_by_others())) is not None:
        raise JobStateError(
            f"another job for {row.name} is under way, which must know what {row.id} has published: "
            "try again once it has ended",
            job=row.id,
        )


def _needed_by_others() -> ColumnElement[bool]:
    """Published while a job for the same head was under way that still is, and would take that for its own work."""
    other = aliased(JobRow)
    beside = exists().where(other.name == JobRow.name, other.state.in_(ACTIVE), other.started_at <= JobRow.ended_at)
    return (JobRow.model_version != "") & beside
