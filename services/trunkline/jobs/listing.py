"""A page of jobs that is small whatever is in the database.

What is large is not read for it: of a job with very long texts the request is left out. A page has a largest size, so
it may have fewer jobs than were asked for; a job that cannot be read is left out itself.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Text, cast, func, select
from sqlalchemy.orm import Session, defer

from trunkline.core.jobs import Job, JobState
from trunkline.jobs.rows import job_of, readable
from trunkline.jobs.schema import JobRow

# Characters of JSON: those of one job in a list, and those of a page, which then fits into a message of 4 MiB, what
# clients take at most unless they are told otherwise.
_LARGEST_JOB, _LARGEST_PAGE = 64 * 1024, 2 * 1024 * 1024
_LARGE = (JobRow.request, JobRow.progress, JobRow.metrics, JobRow.error)
_Sized: TypeAlias = Any  # a row with number and size


def listed(session: Session, states: Sequence[JobState], token: str, most: int) -> tuple[list[Job], str]:
    """The newest first, of these states or of all, below the number that is the token; and the next token, or ""."""
    size: ColumnElement[int] = sum((_length(column) for column in _LARGE[1:]), _length(_LARGE[0]))
    query = select(JobRow.number, size.label("size")).order_by(JobRow.number.desc()).limit(most + 1)
    if states:
        query = query.where(JobRow.state.in_([state.value for state in states]))
    if token:
        query = query.where(JobRow.number < int(token))
    found = session.execute(query).all()
    shown = _fitting(found[:most])
    return _read(session, shown), str(shown[-1].number) if len(found) > len(shown) else ""


def _length(column: Any) -> ColumnElement[int]:
    return func.coalesce(func.length(cast(column, Text)), 0)


def _fitting(rows: Sequence[_Sized]) -> Sequence[_Sized]:
    """As many of the first as a page has room for, at least one."""
    room = _LARGEST_PAGE
    for count, row in enumerate(rows):
        room -= row.size if row.size <= _LARGEST_JOB else 0
        if room < 0 and count:
            return rows[:count]
    return rows


def _read(session: Session, rows: Sequence[_Sized]) -> list[Job]:
    """The jobs of these rows, in their order."""
    small = [row.number for row in rows if row.size <= _LARGEST_JOB]
    large = [row.number for row in rows if row.size > _LARGEST_JOB]
    whole = session.scalars(select(JobRow).where(JobRow.number.in_(small))).all()
    parts = select(JobRow).where(JobRow.number.in_(large)).options(*map(defer, _LARGE))
    found = {row.number: row for row in (*whole, *session.scalars(parts).all())}
    in_order = [found[row.number] for row in rows if row.number in found]
    return readable(in_order, lambda row: job_of(row, brief=row.number in large))
