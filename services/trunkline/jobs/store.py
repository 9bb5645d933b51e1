"""The job store as the service sees it: jobs come in, are looked at, listed, watched, cancelled and removed."""

import secrets
from collections.abc import Callable, Sequence

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from trunkline.core.errors import InvalidRequestError, JobStateError
from trunkline.core.jobs import Job, JobEvent, JobState
from trunkline.core.train_request import TrainRequest
from trunkline.jobs.database import Database, clock
from trunkline.jobs.listing import listed
from trunkline.jobs.removal import ACTIVE, check_removable, check_share, make_room
from trunkline.jobs.rows import DamagedError, event_of, job_of, locked, no_such_job, readable, set_state
from trunkline.jobs.schema import EventRow, JobRow
from trunkline.serving.security.callers import Caller
from trunkline.serving.security.quota import Quota

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000
_EVENTS_AT_ONCE = 500
_LONGEST_TOKEN = 18


class JobStore:
    """Every method is one transaction and raises ServiceUnavailableError where the database does not answer."""

    def __init__(self, database: Database, queue: int) -> None:
        """queue: jobs that wait at most."""
        self._database = database
        self._queue = queue

    def find(self, request_id: str, request: TrainRequest) -> Job | None:
        """The job of this request_id. Raises InvalidRequestError where that one has another request."""
        with self._database.read() as session:
            row = session.scalar(select(JobRow).where(JobRow.request_id == request_id))
            return None if row is None else _same(row, request)

    def create(self, request_id: str, request: TrainRequest, models: str, caller: Caller | None = None) -> Job:
        """Queue a job that publishes into `models`, a folder or URL; the job of this request_id where there is one.

        caller: who makes it. Raises InvalidRequestError where that one has another request, QueueFullError where too
        many wait, QuotaError where too many of this caller do.
        """
        identity, quota = ("", Quota()) if caller is None else (caller.name, caller.quota)
        request_id = request_id or secrets.token_hex(16)
        try:
            with self._database.write() as session:
                found = session.scalar(select(JobRow).where(JobRow.request_id == request_id))
                if found is not None:
                    return _same(found, request)
                make_room(session, self._queue)
                check_share(session, identity, quota.jobs_queued)
                row = JobRow(
                    id=f"job-{secrets.token_hex(6)}",
                    request_id=request_id,
                    name=request.name,
                    request=request.model_dump(mode="json"),
                    models=models,
                    attempt=0,
                    last_sequence=0,
                    created_at=clock(session),
                    identity=identity,
                    most_running=quota.jobs_running,
                )
                row.state = JobState.QUEUED.value
                session.add(row)
                session.flush()
                set_state(session, row, JobState.QUEUED)
                session.flush()
                return job_of(row)
        except IntegrityError:
            # Another process took the same request_id between the look and the insert.
            with self._database.read() as session:
                return _same(session.scalars(select(JobRow).where(JobRow.request_id == request_id)).one(), request)

    def get(self, job: str) -> Job:
        """Raises NotFoundError."""
        with self._database.read() as session:
            row = session.scalar(select(JobRow).where(JobRow.id == job))
            if row is None:
                raise no_such_job(job)
            return job_of(row)

    def page(self, states: Sequence[JobState], size: int, token: str) -> tuple[list[Job], str]:
        """The newest first, and the token of the next page, "" for none.

        A page may have fewer than were asked for, see listing.py.
        Raises InvalidRequestError for a negative size or a token that is none.
        """
        if size < 0:
            raise InvalidRequestError(f"page_size is {size}; it must not be negative")
        if token and not (token.isascii() and token.isdecimal() and len(token) <= _LONGEST_TOKEN):
            raise InvalidRequestError("page_token was not issued by this service")
        wanted = min(size or DEFAULT_PAGE, LARGEST_PAGE)
        with self._database.read() as session:
            return listed(session, states, token, wanted)

    def events(self, job: str, after: int) -> tuple[list[JobEvent], bool]:
        """The next events after a sequence number, and whether the job has ended and these are its last.

        Raises NotFoundError.
        """
        with self._database.read() as session:
            row = session.scalar(select(JobRow).where(JobRow.id == job))
            if row is None:
                raise no_such_job(job)
            # Read after the row: what has ended by then has all of its events.
            later = select(EventRow).where(EventRow.job == row.number, EventRow.sequence > after)
            found = session.scalars(later.order_by(EventRow.sequence).limit(_EVENTS_AT_ONCE)).all()
            events = readable(found, event_of)
            if len(found) == _EVENTS_AT_ONCE and not events:
                raise DamagedError(f"the events of job {job!r} cannot be read: they are damaged", job=job)
            return events, row.state not in ACTIVE and len(found) < _EVENTS_AT_ONCE

    def cancel(self, job: str) -> Job:
        """End a job that waits, mark one that runs; one that has ended stays as it is. Raises NotFoundError."""
        with self._database.write() as session:
            row = locked(session, job)
            if not JobState(row.state).final:
                row.cancel_requested = True
            if row.state == JobState.QUEUED:
                set_state(session, row, JobState.CANCELLED)
            session.flush()
            return job_of(row)

    def delete(self, job: str, clear: Callable[[str], bool]) -> None:
        """Remove a job that has ended, with its events. clear: removes its folder, and says whether it is gone.

        Raises NotFoundError, and JobStateError where it cannot be removed yet.
        """
        with self._database.read() as session:
            row = session.scalar(select(JobRow).where(JobRow.id == job))
            if row is None:
                raise no_such_job(job)
            check_removable(session, row)
        if not clear(job):
            raise JobStateError(f"the folder of {job} cannot be removed yet: try again in some seconds", job=job)
        with self._database.write() as session:
            row = locked(session, job)
            check_removable(session, row)
            session.execute(delete(EventRow).where(EventRow.job == row.number))
            session.delete(row)


def _same(row: JobRow, request: TrainRequest) -> Job:
    job = job_of(row)
    if job.request != request:
        raise InvalidRequestError(
            f"request_id {row.request_id!r} belongs to {row.id}, whose request is another one: "
            "take a new request_id for a new job",
            job=row.id,
            request_id=row.request_id,
        )
    return job
