"""Who works on which job: taking, keeping and giving back, so that no job is run twice at a time.

A running job belongs to one worker by its `owner`, a token that only that worker knows, for as long as it renews the
lease. Whoever has another token changes nothing.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, aliased

from trunkline.core.jobs import Job, JobError, JobProgress, JobState
from trunkline.core.progress import Epoch
from trunkline.jobs.database import Database, clock
from trunkline.jobs.rows import DamagedError, add_event, fail, job_of, locked, set_state, storable
from trunkline.jobs.schema import JobRow

CRASHES_AT_MOST = 3


class LeaseLostError(Exception):
    """The job belongs to another worker now, or has ended."""


@dataclass(frozen=True)
class Claim:
    """A running job: its id, the token of its worker, and what the launcher knows that worker by, or ""."""

    job: str
    owner: str
    handle: str = ""
    cancelled: bool = False
    expired: bool = False


@dataclass(frozen=True)
class Work:
    """What a worker needs to know. models: folder or URL to publish into.

    since: first start of the job, seconds since 1970. taken: versions of the head that other jobs have published.
    """

    job: Job
    models: str
    since: float
    taken: frozenset[str]


class Leases:
    """Every method is one transaction and raises ServiceUnavailableError where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # For the scheduler ---------------------------------------------------------------------------------------

    def take(self, lease_s: float) -> Claim | None:
        """Make the oldest waiting job run, for a worker that is about to be started; None where none waits."""
        with self._database.write() as session:
            row = _first_readable(session)
            if row is None:
                return None
            row.attempt += 1
            row.owner, row.handle = secrets.token_hex(16), ""
            row.lease_until = clock(session) + lease_s
            set_state(session, row, JobState.RUNNING)
            return Claim(row.id, row.owner)

    def started(self, claim: Claim, handle: str) -> None:
        """Note what the launcher knows the worker by."""
        with self._database.write() as session:
            own = (JobRow.id == claim.job) & (JobRow.owner == claim.owner)
            session.execute(update(JobRow).where(own).values(handle=handle))

    def running(self) -> list[Claim]:
        """All jobs that run, on any machine."""
        with self._database.read() as session:
            now = clock(session)
            rows = session.scalars(select(JobRow).where(JobRow.state == JobState.RUNNING)).all()
            return [Claim(row.id, row.owner, row.handle, row.cancel_requested, row.lease_until < now) for row in rows]

    def lost(self, claim: Claim, fate: str) -> None:
        """The worker is gone and did not end its job: queue it again, or end it where that helps no more.

        fate: what became of the worker, such as "was killed by SIGKILL". Nothing happens where it did end it.
        """
        with self._database.write() as session:
            row = locked(session, claim.job)
            if row.state != JobState.RUNNING or row.owner != claim.owner:
                return
            row.crashes += 1
            if row.cancel_requested:
                set_state(session, row, JobState.CANCELLED)
            elif row.crashes >= CRASHES_AT_MOST:
                text = f"the worker {fate}, {row.crashes} times: the log of the training service says more"
                fail(session, row, JobError(13, "WORKER_DIED", text, {"attempts": str(row.attempt)}))
            else:
                set_state(session, row, JobState.QUEUED, f"the worker {fate}; it goes on from its last checkpoint")

    def unswept(self) -> list[str]:
        """Jobs that have ended and may have left something in the work folder."""
        with self._database.read() as session:
            final = [state.value for state in JobState if state.final]
            query = select(JobRow.id).where(JobRow.state.in_(final), JobRow.swept.is_(False))
            return list(session.scalars(query))

    def swept(self, job: str) -> None:
        """Nothing of it is left."""
        with self._database.write() as session:
            session.execute(update(JobRow).where(JobRow.id == job).values(swept=True))

    # For the worker ------------------------------------------------------------------------------------------

    def begin(self, claim: Claim, lease_s: float) -> Work:
        """The first renewal, and what to do. Raises LeaseLostError."""
        with self._database.write() as session:
            row = _owned(session, claim)
            row.lease_until = clock(session) + lease_s
            others = select(JobRow.model_version).where(JobRow.name == row.name, JobRow.number != row.number)
            return Work(job_of(row), row.models, row.started_at or row.created_at, frozenset(session.scalars(others)))

    def renew(self, claim: Claim, lease_s: float) -> bool:
        """Keep the job for so long from now on. Returns whether it is to be cancelled. Raises LeaseLostError."""
        with self._database.write() as session:
            row = _owned(session, claim)
            row.lease_until = clock(session) + lease_s
            return row.cancel_requested

    def report(self, claim: Claim, events: Iterable[JobProgress | Epoch]) -> None:
        """Tell of progress. Raises LeaseLostError."""
        with self._database.write() as session:
            row = _owned(session, claim)
            for what in events:
                add_event(session, row, what)
                session.flush()

    def succeeded(self, claim: Claim, version: str, metrics: Mapping[str, float]) -> None:
        """The head is published. Raises LeaseLostError."""
        with self._database.write() as session:
            row = _owned(session, claim)
            row.model_version, row.metrics = version, storable(metrics)
            set_state(session, row, JobState.SUCCEEDED)

    def failed(self, claim: Claim, error: JobError) -> None:
        """It cannot be done. Raises LeaseLostError."""
        with self._database.write() as session:
            fail(session, _owned(session, claim), error)

    def stopped(self, claim: Claim) -> JobState:
        """The worker was told to stop: the job is cancelled where that was wished, or else waits again.

        Returns the new state. Raises LeaseLostError.
        """
        with self._database.write() as session:
            row = _owned(session, claim)
            state = JobState.CANCELLED if row.cancel_requested else JobState.QUEUED
            set_state(
                session,
                row,
                state,
                "" if state.final else "its worker was stopped; it goes on from its last checkpoint",
            )
            return state


def _first_readable(session: Session) -> JobRow | None:
    """The oldest job that waits, and may run beside others of who made it.

    One that cannot be read, which no worker could begin, ends here.
    """
    running = aliased(JobRow)
    beside = select(func.count()).where(running.state == JobState.RUNNING, running.identity == JobRow.identity)
    may_run = JobRow.most_running.is_(None) | (beside.scalar_subquery() < JobRow.most_running)
    waiting = select(JobRow).where(JobRow.state == JobState.QUEUED, may_run).order_by(JobRow.number).limit(1)
    while (row := session.scalar(waiting.with_for_update(skip_locked=True))) is not None:
        try:
            job_of(row)
        except DamagedError as error:
            # No more than that: whatever else is in the row may be damaged too.
            values = {
                "state": JobState.FAILED.value,
                "error": asdict(JobError(9, error.reason, error.message, error.metadata)),
                "ended_at": clock(session),
            }
            session.execute(update(JobRow).where(JobRow.number == row.number).values(values))
        else:
            return row
    return None


def _owned(session: Session, claim: Claim) -> JobRow:
    row = locked(session, claim.job)
    if row.state != JobState.RUNNING or row.owner != claim.owner:
        raise LeaseLostError(f"{claim.job} belongs to another worker now, or has ended")
    return row
