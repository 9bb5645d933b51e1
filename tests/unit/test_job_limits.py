"""What a job may hold, how many may wait, which may be removed, and that a bad entry of the database costs itself."""

import json

import pytest

pytest.importorskip("sqlalchemy", reason="needs the train extra: pip install -e '.[train]'")

from google.protobuf.descriptor import FieldDescriptor
from sqlalchemy import insert, select, text, update

from trunkline.api.training.v1 import request_pb2
from trunkline.core.errors import InvalidRequestError, JobStateError, NotFoundError, QueueFullError
from trunkline.core.jobs import JobError, JobState, StateChange
from trunkline.core.train_request import TrainRequest, parse_request, stored_request
from trunkline.jobs.database import Database
from trunkline.jobs.leases import Leases
from trunkline.jobs.schema import EventRow, JobRow
from trunkline.jobs.store import JobStore
from trunkline.jobs.sweep import clear, job_folder, sweep
from trunkline.serving.limit_table import limits_of
from trunkline.serving.wire_training import job_to_pb

MODELS = "/models"
REQUEST = TrainRequest(name="birds", data="/data/birds")
FIELDS = [field for field in request_pb2.TrainingRequest.DESCRIPTOR.fields if limits_of(field).ListFields()]


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


def ended(store, leases, **changes) -> str:
    """A job that was cancelled while it waited."""
    job = store.create("", REQUEST.model_copy(update=changes), MODELS).id
    store.cancel(job)
    return job


def published(store, leases, version: str, **changes) -> str:
    store.create("", REQUEST.model_copy(update=changes), MODELS)
    claim = leases.take(60)
    leases.succeeded(claim, version, {"accuracy": 0.5})
    return claim.job


def store_text(database, job: str, column: str, value: str) -> None:
    """Whatever a column is meant for."""
    with database.write() as session:
        session.execute(text(f"UPDATE jobs SET {column} = :value WHERE id = :id"), {"value": value, "id": job})


# What a request may hold ------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_the_request_of_the_command_line_has_the_limits_of_the_proto(field):
    limits = limits_of(field)
    base = {"name": "a", "data": "/d", "task": "segmentation", "mode": "scratch", "size": "large"}
    if field.name in ("taught", "unlabelled"):
        base = {"name": "a", "data": "/d", "task": "detection", "teacher": "coco"}
    beyond = [filled(field, limits.max_length + 1, 1)]
    beyond += [filled(field, 3, limits.max_items + 1)] if field.is_repeated else []
    for value in beyond:
        with pytest.raises(InvalidRequestError):
            parse_request(base | {field.name: value})
    if field.name == "task_options":
        return  # names of options that the task has: no others are taken
    if field.is_repeated or field.name in ("data", "licence", "weights", "validation_split", "test_split"):
        parse_request(base | {field.name: filled(field, limits.max_length, max(1, limits.max_items))})


def filled(field: FieldDescriptor, length: int, count: int):
    if not field.is_repeated:
        return "x" * length
    texts = [f"{number:03}".ljust(length, "x")[:length] for number in range(count)]
    return {f"{number:03}".ljust(3): each for number, each in enumerate(texts)} if field.message_type else texts


def test_an_error_shows_no_more_than_the_begin_of_what_was_sent():
    with pytest.raises(InvalidRequestError) as caught:
        parse_request({"name": "N" * 10_000, "data": "/d"})
    assert len(caught.value.message) < 400


def test_a_request_that_was_stored_before_there_were_limits_is_cut():
    fields = {
        "name": "a",
        "data": "/d",
        "licence": "L" * 100_000,
        "target": ["t" * 1000] * 1000,
        "unit": {f"{number} {'k' * 500}": "u" * 500 for number in range(500)},
        "options": {"epochs": 3},
    }
    found = stored_request(fields)
    assert (len(found.licence), len(found.target), len(found.target[0]), len(found.unit)) == (4096, 256, 255, 256)
    assert found.options.epochs == 3
    with pytest.raises(ValueError, match="mode"):
        stored_request({**fields, "mode": "nonsense"})


# How many may wait ------------------------------------------------------------------------------------------


def test_beyond_the_queue_jobs_are_refused_until_one_has_begun_or_is_cancelled(database, leases):
    store = JobStore(database, queue=3)
    first, second, third = (store.create(str(number), REQUEST, MODELS) for number in range(3))
    with pytest.raises(QueueFullError, match="3 training jobs wait already") as caught:
        store.create("3", REQUEST, MODELS)
    assert caught.value.retry_after_s >= 1
    assert store.create("1", REQUEST, MODELS).id == second.id  # a call that is repeated asks for no place
    assert leases.take(60).job == first.id
    store.create("3", REQUEST, MODELS)
    with pytest.raises(QueueFullError):
        store.create("4", REQUEST, MODELS)
    store.cancel(third.id)
    store.create("4", REQUEST, MODELS)


def test_of_very_many_jobs_that_have_ended_the_oldest_go_with_their_events(store, leases, database):
    kept = ended(store, leases)
    with database.write() as session:
        row = session.scalars(select(JobRow).where(JobRow.id == kept)).one()
        same = {column.name: getattr(row, column.name) for column in JobRow.__table__.columns}
        ids = [f"old-{number}" for number in range(10_050)]
        rows = [{**same, "id": each, "request_id": each, "number": 10 + place} for place, each in enumerate(ids)]
        session.execute(insert(JobRow), rows)
        session.execute(update(JobRow).values(swept=True))
        session.execute(update(JobRow).where(JobRow.id == "old-3").values(swept=False))
        event = {"sequence": 1, "at": 0.0, "kind": "state", "payload": {}}
        session.execute(insert(EventRow), [{"job": row["number"], **event} for row in rows])
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT setval(pg_get_serial_sequence('jobs', 'number'), 20000)"))
    store.create("", REQUEST, MODELS)
    with database.read() as session:
        left = set(session.scalars(select(JobRow.id)))
        assert not {kept, *ids[:3], *ids[4:50]} & left
        assert {ids[3], *ids[50:]} <= left  # nothing is forgotten whose folder may be there still
        assert session.scalar(select(EventRow).where(EventRow.job == 10 + 2)) is None
        assert session.scalar(select(EventRow).where(EventRow.job == 10 + 60)) is not None


# Which may be removed ---------------------------------------------------------------------------------------


def test_a_job_that_has_ended_is_removed_with_its_events_and_its_folder(store, leases, database, tmp_path):
    job, other = ended(store, leases), ended(store, leases)
    folder = job_folder(tmp_path, job)
    folder.mkdir()
    (folder / "last.ckpt").write_bytes(b"weights")
    store.delete(job, lambda each: clear(tmp_path, each))
    assert not folder.exists()
    with pytest.raises(NotFoundError):
        store.get(job)
    with pytest.raises(NotFoundError):
        store.delete(job, lambda each: True)
    assert [each.id for each in store.page([], 0, "")[0]] == [other]
    with database.read() as session:
        owners = set(session.scalars(select(EventRow.job)))
        assert owners == set(session.scalars(select(JobRow.number)))


def test_a_job_that_waits_or_runs_is_to_be_cancelled_first(store, leases):
    job = store.create("", REQUEST, MODELS).id
    with pytest.raises(JobStateError, match=f"cancel it first, with: trunkline jobs cancel {job}"):
        store.delete(job, lambda each: pytest.fail("its folder is in use"))
    leases.take(60)
    with pytest.raises(JobStateError, match="has not ended"):
        store.delete(job, lambda each: pytest.fail("its folder is in use"))
    assert store.get(job).state == JobState.RUNNING


def test_a_job_whose_folder_cannot_be_removed_stays(store, leases):
    job = ended(store, leases)
    with pytest.raises(JobStateError, match="try again"):
        store.delete(job, lambda each: False)
    assert store.get(job).state == JobState.CANCELLED


def test_a_job_stays_while_another_must_know_what_it_published(store, leases):
    before = published(store, leases, "1")
    store.create("", REQUEST, MODELS)
    running = leases.take(60)
    beside = published(store, leases, "2")
    elsewhere = published(store, leases, "1", name="trees")
    with pytest.raises(JobStateError, match="another job for birds is under way"):
        store.delete(beside, lambda each: True)
    assert leases.begin(running, 60).taken >= {"1", "2"}
    for job in (before, elsewhere):
        store.delete(job, lambda each: True)
    leases.failed(running, JobError(3, "DATA_INVALID", "no", {}))
    store.delete(beside, lambda each: True)


@pytest.mark.parametrize("job", ["..", ".", "", "../beside", "/etc", "a/b"])
def test_an_id_that_is_none_of_ours_clears_no_folder(tmp_path, job):
    work = tmp_path / "work"
    (work / "a/b").mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    assert clear(work, job)
    assert (work / "a/b").is_dir()
    assert (tmp_path / "beside").is_dir()


def test_a_sweep_that_comes_after_a_removal_finds_nothing_to_do(store, leases, tmp_path):
    job = ended(store, leases)
    waiting = leases.unswept()
    store.delete(job, lambda each: True)
    assert waiting == [job]
    assert sweep(waiting, tmp_path, tmp_path) == [job]
    leases.swept(job)
    assert leases.unswept() == []


# What is large or damaged -----------------------------------------------------------------------------------


def test_a_list_leaves_out_what_is_large_and_one_job_alone_is_cut(store, leases, database):
    small = ended(store, leases)
    large = [ended(store, leases, name=f"large-{number}") for number in range(3)]
    for job in large:
        fields = {"name": "large", "data": "/d", "licence": "L" * 2_000_000, "target": ["t"] * 1_000_000}
        store_text(database, job, "request", json.dumps(fields))
    found, token = store.page([], 0, "")
    assert [job.id for job in found] == [*large[::-1], small]
    assert token == ""
    assert found[0].request.name == "large-2"
    assert found[0].request.data == "(too long for a list)"
    assert found[0].state == JobState.CANCELLED
    assert found[-1].request == REQUEST
    assert sum(job_to_pb(job).ByteSize() for job in found) < 10_000
    assert len(store.get(large[0]).request.licence) == 4096
    store.delete(large[0], lambda each: True)


def test_a_page_has_a_largest_size_and_the_next_one_goes_on(store, leases, database):
    ids = [ended(store, leases) for _ in range(90)]
    with database.write() as session:
        fields = REQUEST.model_dump(mode="json") | {"target": ["t" * 250] * 200}
        session.execute(update(JobRow).values(request=fields))
    seen, token, pages = [], "", 0
    while pages == 0 or token:
        found, token = store.page([JobState.CANCELLED], 1000, token)
        assert sum(job_to_pb(job).ByteSize() for job in found) < 4 * 1024 * 1024
        seen += [job.id for job in found]
        pages += 1
    assert seen == ids[::-1]
    assert pages == 3


DAMAGE = [
    ("request", "{no JSON"),
    ("request", "null"),
    ("request", json.dumps({"name": "a"})),
    ("request", "[" * 100_000),
    ("state", "NONSENSE"),
    ("error", json.dumps({"unknown": 1})),
    ("metrics", json.dumps({"accuracy": "none"})),
    ("progress", json.dumps([1])),
    ("name", "Not A Name"),
]


@pytest.mark.parametrize(("column", "value"), DAMAGE)
def test_a_damaged_job_costs_itself_alone(store, leases, database, column, value):
    if database_is_strict(database) and value.startswith(("{no", "[[")):
        pytest.skip("PostgreSQL checks what it stores as JSON, so it cannot hold this damage")
    first, bad, last = (ended(store, leases) for _ in range(3))
    store_text(database, bad, column, value)
    assert {first, last} <= {job.id for job in store.page([], 0, "")[0]}
    if column != "name":
        with pytest.raises(JobStateError, match=f"trunkline jobs delete {bad}") as caught:
            store.get(bad)
        assert len(caught.value.message) < 300
    store.delete(bad, lambda each: True)
    assert [job.id for job in store.page([], 0, "")[0]] == [last, first]


@pytest.mark.parametrize("value", ["{no JSON", json.dumps({"data": 1})])
def test_a_damaged_job_that_waits_ends_and_keeps_no_other_waiting(store, leases, database, value):
    if database_is_strict(database) and value.startswith("{no"):
        pytest.skip("PostgreSQL checks what it stores as JSON, so it cannot hold this damage")
    bad, good = (store.create("", REQUEST, MODELS).id for _ in range(2))
    store_text(database, bad, "request", value)
    assert leases.take(60).job == good
    with database.read() as session:
        row = session.scalars(select(JobRow).where(JobRow.id == bad)).one()
        assert (row.state, row.error["reason"]) == ("FAILED", "JOB_STATE")
    store.delete(bad, lambda each: True)


def test_a_damaged_event_costs_itself_alone(store, leases, database):
    job = ended(store, leases)
    with database.write() as session:
        session.execute(update(EventRow).where(EventRow.sequence == 1).values(payload={"state": "NONSENSE"}))
    events, over = store.events(job, 0)
    assert [event.what for event in events] == [StateChange(JobState.CANCELLED, 0, "")]
    assert over


def test_the_text_of_a_failure_is_kept_within_bounds(store, leases):
    job = store.create("", REQUEST, MODELS).id
    claim = leases.take(60)
    leases.failed(claim, JobError(3, "DATA_INVALID", "x" * 1_000_000, {"file": "f" * 1_000_000}))
    assert len(store.get(job).error.message) == 4096
    assert len(store.get(job).error.metadata["file"]) == 4096
    assert sum(len(event.what.note) for event in store.events(job, 0)[0]) == 4096


def database_is_strict(database) -> bool:
    with database.read() as session:
        return bool(session.get_bind().dialect.name == "postgresql")
