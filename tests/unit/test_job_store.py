"""The job store on SQLite and on PostgreSQL: one owner at a time, one job for one wish, all events in order."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("sqlalchemy", reason="needs the train extra: pip install -e '.[train]'")

from sqlalchemy import text as sql
from sqlalchemy import update

from trunkline.core.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    QuotaError,
    ServiceUnavailableError,
)
from trunkline.core.jobs import JobError, JobProgress, JobState, StateChange
from trunkline.core.progress import Epoch
from trunkline.core.train_request import FitOptions, TrainRequest
from trunkline.jobs.database import Database
from trunkline.jobs.leases import CRASHES_AT_MOST, LeaseLostError, Leases
from trunkline.jobs.schema import SchemaRow
from trunkline.jobs.store import JobStore
from trunkline.serving.security.callers import Caller
from trunkline.serving.security.quota import Quota

MODELS = "/models"
REQUEST = TrainRequest(name="photos", data="/data", unit={"angle": "degrees"}, options=FitOptions(rate=1e-3))


@pytest.fixture
def database(database_url):
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture
def store(database):
    return JobStore(database, queue=100)


@pytest.fixture
def leases(database):
    return Leases(database)


def test_a_job_comes_back_as_it_went_in(store):
    made = store.create("one", REQUEST, MODELS)
    found = store.get(made.id)
    assert found == made
    assert (found.request, found.state, found.attempt) == (REQUEST, JobState.QUEUED, 0)
    assert found.progress is None
    assert found.error is None


def test_the_same_request_id_gives_the_same_job_and_with_another_request_an_error_that_names_it(store):
    made = store.create("one", REQUEST, MODELS)
    assert store.create("one", REQUEST, MODELS) == made
    assert store.create("", REQUEST, MODELS).id != made.id
    with pytest.raises(InvalidRequestError, match=f"'one' belongs to {made.id}"):
        store.create("one", REQUEST.model_copy(update={"name": "other"}), MODELS)


def test_the_same_request_id_from_many_callers_at_once_makes_one_job(store):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: store.create("one", REQUEST, MODELS), range(16)))
    assert len({job.id for job in made}) == 1
    assert len(store.page([], 0, "")[0]) == 1


def test_jobs_are_listed_by_pages_the_newest_first_and_by_state(store, leases):
    ids = [store.create("", REQUEST, MODELS).id for _ in range(5)]
    leases.take(10)
    first, token = store.page([], 2, "")
    second, token = store.page([], 2, token)
    third, end = store.page([], 2, token)
    assert [job.id for job in (*first, *second, *third)] == ids[::-1]
    assert end == ""
    assert [job.id for job in store.page([JobState.RUNNING], 0, "")[0]] == ids[:1]
    assert store.page([JobState.FAILED], 0, "") == ([], "")


@pytest.mark.parametrize(("size", "token"), [(-1, ""), (0, "nonsense"), (0, "9" * 30)])
def test_a_wrong_page_is_refused(store, size, token):
    with pytest.raises(InvalidRequestError):
        store.page([], size, token)


def test_no_job_is_taken_twice_however_many_take_at_once(store, leases):
    ids = {store.create("", REQUEST, MODELS).id for _ in range(20)}
    with ThreadPoolExecutor(8) as pool:
        claims = [claim for claim in pool.map(lambda number: leases.take(10), range(30)) if claim]
    assert sorted(claim.job for claim in claims) == sorted(ids)


def test_the_oldest_job_is_taken_first(store, leases):
    ids = [store.create("", REQUEST, MODELS).id for _ in range(3)]
    assert [leases.take(10).job for _ in ids] == ids
    assert leases.take(10) is None


def test_events_are_in_order_and_go_on_after_a_sequence_number(store, leases):
    job = store.create("", REQUEST, MODELS).id
    claim = leases.take(10)
    epochs = [Epoch(number, 3, 1 / number, None, None) for number in (1, 2, 3)]
    for epoch in epochs:
        leases.report(claim, [epoch, JobProgress("epochs", epoch.number, 3, epoch, 1.5)])
    leases.succeeded(claim, "4", {"accuracy": 0.5})
    events, ended = store.events(job, 0)
    assert ended
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))
    # Of the progress within a stage, the last is kept.
    assert [event.what for event in events] == [
        StateChange(JobState.QUEUED, 0),
        StateChange(JobState.RUNNING, 1),
        *epochs,
        JobProgress("epochs", 3, 3, epochs[2], 1.5),
        StateChange(JobState.SUCCEEDED, 1),
    ]
    assert store.events(job, sequences[2]) == (events[3:], True)
    found = store.get(job)
    assert (found.state, found.model_version, found.metrics) == (JobState.SUCCEEDED, "4", {"accuracy": 0.5})
    assert found.last_sequence == sequences[-1]
    assert found.created_at <= found.started_at <= found.ended_at


def test_a_loss_that_is_no_number_any_more_does_no_harm(store, leases):
    job = store.create("", REQUEST, MODELS).id
    claim = leases.take(10)
    epoch = Epoch(1, 2, math.nan, math.inf, None)
    leases.report(claim, [epoch, JobProgress("epochs", 1, 2, epoch)])
    leases.succeeded(claim, "1", {"r2": math.nan})
    seen = [event.what for event in store.events(job, 0)[0] if isinstance(event.what, Epoch)]
    assert math.isnan(seen[0].train_loss)
    assert seen[0].validation_loss == math.inf
    found = store.get(job)
    assert math.isnan(found.metrics["r2"])
    assert math.isnan(found.progress.epoch.train_loss)


def test_who_has_lost_the_lease_changes_nothing(store, leases):
    job = store.create("", REQUEST, MODELS).id
    first = leases.take(10)
    leases.lost(first, "was killed by SIGKILL")
    second = leases.take(10)
    for act in (
        lambda: leases.begin(first, 10),
        lambda: leases.renew(first, 10),
        lambda: leases.report(first, [JobProgress("data", 1, 2)]),
        lambda: leases.succeeded(first, "1", {}),
        lambda: leases.failed(first, JobError(13, "INTERNAL", "x", {})),
        lambda: leases.stopped(first),
    ):
        with pytest.raises(LeaseLostError):
            act()
    leases.lost(first, "is gone")
    assert leases.renew(second, 10) is False
    found = store.get(job)
    assert (found.state, found.attempt, found.progress) == (JobState.RUNNING, 2, None)


def test_a_lease_that_is_not_renewed_expires(store, leases):
    store.create("", REQUEST, MODELS)
    claim = leases.take(-1)
    assert [found.expired for found in leases.running()] == [True]
    leases.renew(claim, 30)
    assert [found.expired for found in leases.running()] == [False]


def test_a_job_whose_worker_dies_too_often_fails_and_says_so(store, leases):
    job = store.create("", REQUEST, MODELS).id
    for _ in range(CRASHES_AT_MOST):
        assert store.get(job).state is JobState.QUEUED
        leases.lost(leases.take(10), "was killed by SIGKILL")
    found = store.get(job)
    assert found.state is JobState.FAILED
    assert found.error.reason == "WORKER_DIED"
    assert "was killed by SIGKILL, 3 times" in found.error.message


def test_a_worker_that_was_stopped_has_not_failed(store, leases):
    job = store.create("", REQUEST, MODELS).id
    for _ in range(CRASHES_AT_MOST + 1):
        assert leases.stopped(leases.take(10)) is JobState.QUEUED
    assert store.get(job).attempt == CRASHES_AT_MOST + 1


def test_cancelling_ends_a_waiting_job_at_once_and_marks_a_running_one(store, leases):
    running, waiting = (store.create("", REQUEST, MODELS).id for _ in range(2))
    claim = leases.take(10)
    assert store.cancel(waiting).state is JobState.CANCELLED
    assert store.cancel(running).state is JobState.RUNNING
    assert leases.renew(claim, 10) is True
    assert leases.stopped(claim) is JobState.CANCELLED
    assert store.cancel(running).state is JobState.CANCELLED
    assert leases.take(10) is None


def test_a_job_that_has_ended_stays_as_it_is(store, leases):
    job = store.create("", REQUEST, MODELS).id
    leases.succeeded(leases.take(10), "1", {})
    assert store.cancel(job).state is JobState.SUCCEEDED
    assert not store.get(job).cancel_requested


def test_a_cancelled_job_whose_worker_was_killed_is_cancelled(store, leases):
    job = store.create("", REQUEST, MODELS).id
    claim = leases.take(10)
    store.cancel(job)
    leases.lost(claim, "was killed by SIGKILL")
    assert store.get(job).state is JobState.CANCELLED


@pytest.mark.parametrize("ask", ["get", "cancel", "events"])
def test_an_unknown_job_is_not_found(store, ask):
    with pytest.raises(NotFoundError, match="no job 'none'"):
        getattr(store, ask)("none", *([0] if ask == "events" else []))


def test_processes_that_start_at_once_make_the_tables_once(database_url):
    code = f"from trunkline.jobs.database import Database; Database({database_url!r}).look()"
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(6)]
    assert [process.wait(timeout=60) for process in started] == [0] * 6
    database = Database(database_url)
    assert JobStore(database, queue=100).page([], 0, "") == ([], "")
    database.close()


def test_a_database_from_before_quotas_keeps_its_jobs_and_counts_new_ones(database, database_url):
    request = TrainRequest(name="a", data="/d", task="classification")
    kept = JobStore(database, queue=100).create("", request, "models")
    with database.write() as session:
        for change in (
            "ALTER TABLE jobs DROP COLUMN identity",
            "ALTER TABLE jobs DROP COLUMN most_running",
            "UPDATE trunkline_schema SET version = 1",
        ):
            session.execute(sql(change))
    again = Database(database_url)
    store = JobStore(again, queue=100)
    assert store.get(kept.id).state is JobState.QUEUED
    caller = Caller("small", frozenset(), quota=Quota(jobs_queued=0))
    with pytest.raises(QuotaError):
        store.create("", request, "models", caller)
    again.close()


def test_a_database_of_a_newer_version_is_left_alone(database, database_url):
    with database.write() as session:
        session.execute(update(SchemaRow).values(version=99))
    other = Database(database_url)
    with pytest.raises(ServiceUnavailableError, match="newer trunkline"):
        other.look()
    other.close()


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("nonsense", "TRUNKLINE_TRAINING_DATABASE"),
        ("mysql://host/jobs", "sqlite:///PATH or postgresql"),
        ("sqlite://", "sqlite:///PATH or postgresql"),
    ],
)
def test_a_url_that_is_none_names_its_setting(url, match):
    with pytest.raises(ConfigurationError, match=match):
        Database(url)


@pytest.mark.parametrize(
    ("url", "match", "logged"),
    [
        ("postgresql://somebody:secret@127.0.0.1:1/jobs", "job database does not answer", "127.0.0.1:1/jobs"),
        ("sqlite:////proc/nothing/jobs.db", "jobs.db cannot be opened: look at its path", "/proc/nothing"),
    ],
)
def test_a_database_that_cannot_be_had_says_so_in_one_line_without_the_password(url, match, logged, caplog):
    database = Database(url)
    for _ in range(3):
        with pytest.raises(ServiceUnavailableError, match=match) as caught:
            database.look()
        for text in (caught.value.message, caplog.text):
            assert "secret" not in text
        assert "\n" not in caught.value.message
        assert "/proc" not in caught.value.message
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert logged in caplog.text
    database.close()
