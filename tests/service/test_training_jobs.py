"""The training service with real workers: jobs succeed, fail, are cancelled, and survive the death of everything."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("sqlalchemy", reason="needs the train extra: pip install -e '.[train]'")

from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.conftest import ROOT, Server, start_server
from tests.service.crops import CLASSES, PICTURES, class_folders
from tests.service.jobs import (
    Place,
    has_ended,
    kill,
    make_place,
    request,
    start_training,
    wait_until,
    worker_of,
)
from trunkline.client import (
    AsyncClient,
    AsyncTrainingClient,
    Client,
    Epoch,
    JobEvent,
    JobProgress,
    JobState,
    ServiceError,
    StateChange,
    TrainingClient,
)
from trunkline.jobs.database import Database
from trunkline.jobs.schema import JobRow
from trunkline.testing import serve

LONG = 10_000  # epochs: more than any test waits for


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("data"), samples)


@pytest.fixture
def place(tmp_path, models):
    return make_place(tmp_path / "service", models)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, models):
    """The place of a service that the tests which do it no harm share."""
    return make_place(tmp_path_factory.mktemp("shared") / "service", models)


@pytest.fixture(scope="module")
def server(shared):
    with start_training(shared) as running:
        yield running


@pytest.fixture
def client(server):
    with TrainingClient(server.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def submitted(server, data):
    """A job given by `train --watch`, watched to its end by the command line."""
    code = (
        "from trunkline.cli.jobs import submit_and_watch; from trunkline.core.train_request import TrainRequest; "
        f"submit_and_watch(TrainRequest.model_validate_json({request(data).model_dump_json()!r}), {server.address!r})"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def job(submitted, client):
    """The job of that request: the oldest of the service."""
    return list(client.list())[-1]


def cli(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trunkline.cli.main", *words, "--target", server.address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def whats(events: list[JobEvent], kind: type) -> list:
    return [event.what for event in events if isinstance(event.what, kind)]


def after_first_epoch(client: TrainingClient, job: str) -> None:
    next(event for event in client.watch(job) if isinstance(event.what, Epoch))


def test_a_job_given_on_the_command_line_succeeds_and_shows_its_progress(submitted, job, shared):
    assert submitted.returncode == 0, submitted.stderr
    assert submitted.stdout.startswith("head photos version 1\n  ")
    assert "accuracy" in submitted.stdout
    assert "running" in submitted.stderr
    assert "epochs: loss " in submitted.stderr
    assert (job.state, job.model_version) == (JobState.SUCCEEDED, "1")
    assert shared.versions() == ["1"]
    wait_until(lambda: shared.left_over() == [])


async def test_the_published_head_answers_with_the_metrics_of_the_job(job, shared, data):
    assert job.metrics["accuracy"] >= 0.9
    async with serve(models=shared.models) as host, AsyncClient(host.address) as asking:
        for name in CLASSES:
            answer = await asking.classify(data / "test" / name / "0.jpg", head="photos")
            assert answer.result.labels[0].label == name


def test_a_watch_tells_all_and_goes_on_after_a_sequence_number(job, client):
    events = list(client.watch(job.id))
    assert [change.state for change in whats(events, StateChange)] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert [epoch.number for epoch in whats(events, Epoch)] == list(range(1, 9))
    assert {"data", "features", "epochs", "evaluation"} <= {each.stage for each in whats(events, JobProgress)}
    assert list(client.watch(job.id, after=events[4].sequence)) == events[5:]
    assert list(client.watch(job.id, after=events[-1].sequence)) == []


def test_the_service_itself_never_loads_torch(job, server):
    maps = {entry.path for entry in psutil.Process(server.process.pid).memory_maps()}
    assert not [path for path in maps if "torch" in path]


def test_an_evaluation_repeats_the_metrics_of_the_job(job, client, data):
    found = client.evaluate("photos", str(data))
    assert (found.head, found.version, found.count) == ("photos", "1", PICTURES["test"] * len(CLASSES))
    assert dict(found.metrics) == dict(job.metrics)


def test_an_evaluation_of_what_is_not_there_says_so(client, data):
    with pytest.raises(ServiceError, match="no head 'nothing'") as caught:
        client.evaluate("nothing", str(data))
    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "NOT_FOUND")


def test_jobs_on_the_command_line(job, server):
    shown = json.loads(cli(server, "jobs", "show", job.id, "--json").stdout)
    assert (shown["id"], shown["state"], shown["model_version"]) == (job.id, "SUCCEEDED", "1")
    assert shown["request"]["name"] == "photos"
    assert job.id in [each["id"] for each in json.loads(cli(server, "jobs", "list", "--json").stdout)]
    assert "photos/1" in cli(server, "jobs", "list", "--state", "succeeded").stdout
    assert "trunkline train --task classification" in cli(server, "jobs", "show", job.id).stdout
    watched = cli(server, "jobs", "watch", job.id)
    assert (watched.returncode, watched.stdout.splitlines()[0]) == (0, "head photos version 1")
    unknown = cli(server, "jobs", "show", "job-none")
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "trunkline: there is no job 'job-none'; `trunkline jobs list` shows them\n",
    )
    assert cli(server, "jobs", "list", "--state", "gone").returncode == 2


@pytest.mark.parametrize(
    ("changes", "reason", "match"),
    [
        ({"data": "/nowhere"}, "INVALID_REQUEST", "no folder or CSV file /nowhere"),
        ({"task": "cooking"}, "INVALID_REQUEST", "'cooking' cannot be trained; known: "),
        ({"backbone": "other"}, "NOT_FOUND", "no backbone 'other'"),
    ],
)
def test_a_request_that_cannot_be_done_is_refused_before_it_is_queued(client, data, changes, reason, match):
    with pytest.raises(ServiceError, match=match) as caught:
        client.create(request(**{"data": data, **changes}))
    assert caught.value.reason == reason


@pytest.mark.parametrize("job", ["job-none", "job\0", "../etc"])
def test_an_unknown_job_is_not_found(client, job):
    for ask in (client.get, client.cancel, client.wait):
        with pytest.raises(ServiceError) as caught:
            ask(job)
        assert caught.value.code == "NOT_FOUND"


def test_the_same_request_id_makes_one_job(client, data, tmp_path):
    (tmp_path / "empty").mkdir()
    first = client.create(request(tmp_path / "empty"), request_id="mine")
    assert client.create(request(tmp_path / "empty"), request_id="mine").id == first.id
    (tmp_path / "empty").rmdir()
    assert client.create(request(tmp_path / "empty"), request_id="mine").id == first.id
    with pytest.raises(ServiceError, match=first.id) as caught:
        client.create(request(data), request_id="mine")
    assert (caught.value.code, caught.value.metadata["job"]) == ("INVALID_ARGUMENT", first.id)


async def test_the_client_for_asyncio_does_the_same(job, client, server, data):
    async with AsyncTrainingClient(server.address) as asking:
        assert [event async for event in asking.watch(job.id)] == list(client.watch(job.id))
        assert await asking.get(job.id) == await asking.wait(job.id) == job
        assert [found.id async for found in asking.list([JobState.SUCCEEDED])] == [job.id]
        assert (await asking.cancel(job.id)).state is JobState.SUCCEEDED
        assert (await asking.evaluate("photos", str(data))).metrics == dict(job.metrics)
        with pytest.raises(ServiceError, match="cannot be trained"):
            await asking.create(request(data, task="cooking"))


def test_bad_data_fails_at_once_with_file_and_reason(client, server, tmp_path, samples, shared):
    bad = class_folders(tmp_path / "bad", samples)
    (bad / "train/coffee/broken.jpg").write_bytes(b"\xff\xd8 no picture")
    before = shared.versions()
    found = client.wait(client.create(request(bad, strict=True)).id)
    assert (found.state, found.error.reason) == (JobState.FAILED, "DATA_INVALID")
    assert found.error.message.startswith("train/coffee/broken.jpg: ")
    assert found.attempt == 1
    watched = cli(server, "jobs", "watch", found.id)
    assert watched.returncode == 1
    assert watched.stderr.splitlines()[-1].startswith(f"trunkline: {found.id} failed: train/coffee/broken.jpg")
    assert shared.versions() == before
    wait_until(lambda: shared.left_over() == [])


def test_a_job_tells_how_many_remarks_there_are_on_its_data(client, server, tmp_path, samples):
    spoiled = class_folders(tmp_path / "spoiled", samples)
    (spoiled / "train/coffee/broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (spoiled / "train/coffee/notes.txt").write_text("x")
    job = client.wait(client.create(request(spoiled, 2, name="spoiled")).id)
    assert (job.state, job.progress.remarks, job.progress.left_out) == (JobState.SUCCEEDED, 2, 1)
    assert client.evaluate("spoiled", str(spoiled)).remarks == 1
    shown = cli(server, "jobs", "show", job.id).stdout
    assert "2 remarks, 1 objects and pictures left out; trunkline data check shows them" in " ".join(shown.split())


def test_a_running_job_is_restrained_and_can_be_cancelled_and_a_waiting_one_too(place, data):
    with start_training(place) as server, TrainingClient(server.address) as client:
        running, waiting = (client.create(request(data, LONG)).id for _ in range(2))
        after_first_epoch(client, running)
        worker = worker_of(server)
        assert worker.nice() == 10
        assert len(worker.cpu_affinity()) == max(1, len(os.sched_getaffinity(0)) - 1)
        assert client.get(waiting).state is JobState.QUEUED
        assert client.cancel(waiting).state is JobState.CANCELLED
        done = cli(server, "jobs", "cancel", running)
        assert (done.returncode, done.stdout) == (0, f"{running} cancelled\n")
        assert client.get(running).state is JobState.CANCELLED
        wait_until(lambda: not worker.is_running() and place.left_over() == [])
        assert place.versions() == []
        # It unwound by itself: force would have been logged.
        assert "killed" not in server.log


def test_a_job_whose_worker_is_killed_is_taken_up_again_and_succeeds(place, data):
    with start_training(place) as server, TrainingClient(server.address) as client:
        job = client.create(request(data, epochs=20)).id
        after_first_epoch(client, job)
        kill(worker_of(server).pid)
        events = list(client.watch(job))
        states = [(change.state, change.attempt) for change in whats(events, StateChange)]
        assert states == [("QUEUED", 0), ("RUNNING", 1), ("QUEUED", 1), ("RUNNING", 2), ("SUCCEEDED", 2)]
        assert "was killed by SIGKILL" in whats(events, StateChange)[2].note
        assert place.versions() == ["1"]
        wait_until(lambda: place.left_over() == [])


def test_a_job_outlives_the_service_and_its_watcher_does_not_notice(place, data):
    with start_training(place) as server, TrainingClient(server.address) as client:
        job = client.create(request(data, epochs=20)).id
        watching = client.watch(job)
        events = [next(watching)]
        while not isinstance(events[-1].what, Epoch):
            events.append(next(watching))
        worker = worker_of(server)
        kill(server.process.pid)
        server.process.wait()
        # No worker goes on without its service.
        wait_until(lambda: has_ended(worker))
        again = [sys.executable, "-m", "trunkline.cli.main", "serve", "training", "--address", server.address]
        with (place.folder / "again").open("wb") as log:
            second = subprocess.Popen(again, cwd=ROOT, env={**os.environ, **place.environment()}, stderr=log)
        try:
            events += watching
            assert client.get(job).attempt == 2
        finally:
            second.terminate()
            assert second.wait(timeout=60) == 0
    assert whats(events, StateChange)[-1].state is JobState.SUCCEEDED
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))
    assert place.versions() == ["1"]


def test_a_stopped_service_hands_its_jobs_back_and_ends_its_streams(place, data):
    with start_training(place) as server, TrainingClient(server.address) as client:
        job = client.create(request(data, LONG)).id
        after_first_epoch(client, job)
        watching = client.watch(job, patience_s=0)
        next(watching)
        assert server.stop() == 0
        with pytest.raises(ServiceError) as caught:
            list(watching)
        assert caught.value.code == "UNAVAILABLE"
    with place_store(place) as session:
        row = session.get(JobRow, 1)
        assert (row.state, row.owner, row.crashes) == ("QUEUED", "", 0)


def test_a_service_without_training_says_what_to_do(target):
    with TrainingClient(target) as client, pytest.raises(ServiceError, match="trunkline serve training") as caught:
        client.get("x")
    assert (caught.value.code, caught.value.reason) == ("UNIMPLEMENTED", "NO_TRAINING")


def test_all_in_one_has_the_training_service_too_and_answers_meanwhile(place, data, photos, models):
    (place.models / "heads").symlink_to(models / "heads")
    environment = place.environment(TRUNKLINE_TRAINING_JOBS="1")
    with start_server(place.folder / "log", **environment) as server, TrainingClient(server.address) as client:
        job = client.create(request(data, LONG)).id
        with Client(server.address) as asking:
            while client.get(job).progress is None:
                assert asking.classify(photos[0]).result.labels
            assert client.cancel(job).cancel_requested
            assert client.wait(job).state is JobState.CANCELLED
            assert asking.classify(photos[0]).result.labels


def test_two_services_on_one_database_share_the_jobs_and_run_none_twice(tmp_path, models, database_url, samples):
    place = make_place(tmp_path / "service", models, database_url)
    bad = class_folders(tmp_path / "bad", samples)
    (bad / "train/coffee/broken.jpg").write_bytes(b"\xff\xd8 no picture")
    with start_training(place, "first") as first, start_training(place, "second") as second:
        with TrainingClient(first.address) as client, TrainingClient(second.address) as other:
            jobs = [client.create(request(bad, strict=True)).id for _ in range(6)]
            for job in jobs:
                states = [(each.state, each.attempt) for each in whats(list(other.watch(job)), StateChange)]
                assert states == [("QUEUED", 0), ("RUNNING", 1), ("FAILED", 1)]
        ran = [set(re.findall("worker (job-[0-9a-f]+)", server.log)) for server in (first, second)]
    assert all(ran)
    assert not ran[0] & ran[1]
    assert ran[0] | ran[1] == set(jobs)


def test_what_was_published_before_the_worker_could_say_so_is_not_published_again(job, client, shared):
    found = client.get(job.id)
    # As if the worker and its service had died just before that was written.
    lost = {"state": "RUNNING", "owner": "gone", "lease_until": 0.0, "model_version": "", "handle": ""}
    with place_store(shared) as session:
        session.execute(update(JobRow).where(JobRow.id == found.id).values(**lost))
    wait_until(lambda: client.get(found.id).attempt == 2 and client.get(found.id).state.final)
    again = client.get(found.id)
    assert (again.state, again.model_version) == (JobState.SUCCEEDED, "1")
    assert dict(again.metrics) == dict(found.metrics)
    assert shared.versions() == ["1"]


@contextmanager
def place_store(place: Place) -> Iterator[Session]:
    """A transaction on the database of a service, past the service."""
    database = Database(place.database)
    try:
        with database.write() as session:
            yield session
    finally:
        database.close()
