"""Jobs that two processes share under torchrun, talking through gloo."""

import json
import subprocess
import sys

import psutil
import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("sqlalchemy", reason="needs the train extra: pip install -e '.[train]'")

from tests.conftest import ROOT, Server
from tests.service.crops import class_folders
from tests.service.jobs import kill, make_place, request, start_training, wait_until, worker_of
from trunkline.client import Epoch, JobState, StateChange, TrainingClient
from trunkline.core.repository import Repository

TWO = {"TRUNKLINE_TRAINING_PROCESSES": "2"}
LONG = 10_000
SMALL = {"width": 96, "height": 96}


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("data"), samples, {"train": 8, "val": 3, "test": 4})


@pytest.fixture
def place(tmp_path, models):
    return make_place(tmp_path / "service", models)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, models):
    return make_place(tmp_path_factory.mktemp("shared") / "service", models)


@pytest.fixture(scope="module")
def server(shared):
    with start_training(shared, **TWO) as running:
        yield running


def processes_of(server: Server) -> list[psutil.Process]:
    """The workers of the one job of a service, in the order in which torchrun started them."""
    return sorted(worker_of(server).children(), key=lambda process: process.environ()["RANK"])


def after_first_epoch(client: TrainingClient, job: str) -> None:
    next(event for event in client.watch(job) if isinstance(event.what, Epoch))


@pytest.mark.parametrize(("mode", "epochs", "stages"), [("features", 8, 1), ("finetune", 2, 2), ("scratch", 2, 1)])
def test_two_processes_share_a_job_and_publish_one_version(server, shared, data, mode, epochs, stages):
    with TrainingClient(server.address) as client:
        wanted = request(data, epochs, mode=mode, name=mode, spec=SMALL, views=2)
        job = client.wait(client.create(wanted).id)
        assert (job.state, job.error, job.attempt) == (JobState.SUCCEEDED, None, 1)
        numbers = [event.what.number for event in client.watch(job.id) if isinstance(event.what, Epoch)]
    assert shared.versions(mode) == ["1"]
    assert job.metrics["accuracy"] >= (0.75 if mode != "scratch" else 0)
    assert numbers == list(range(1, epochs + 1)) * stages
    lines = [line for line in server.log.splitlines() if job.id in line]
    assert sum("process 1 of 2" in line for line in lines) == 1
    assert sum("process 2 of 2" in line for line in lines) == 1
    wait_until(lambda: shared.left_over() == [])


def test_a_broken_picture_fails_the_job_once_with_its_name(server, shared, tmp_path, samples):
    bad = class_folders(tmp_path / "bad", samples)
    (bad / "train/coffee/broken.jpg").write_bytes(b"\xff\xd8 no picture")
    with TrainingClient(server.address) as client:
        job = client.wait(client.create(request(bad, strict=True)).id)
    assert (job.state, job.attempt, job.error.reason) == (JobState.FAILED, 1, "DATA_INVALID")
    assert "broken.jpg" in job.error.message
    wait_until(lambda: shared.left_over() == [])


def test_the_death_of_any_process_ends_the_attempt_and_the_next_one_goes_on(place, data):
    with start_training(place, **TWO) as server, TrainingClient(server.address) as client:
        job = client.create(request(data, epochs=60)).id
        after_first_epoch(client, job)
        workers = processes_of(server)
        kill(workers[1].pid)
        events = list(client.watch(job))
        assert not any(worker.is_running() for worker in workers)
        assert client.get(job).attempt == 2
    states = [event.what for event in events if isinstance(event.what, StateChange)]
    assert [change.state for change in states] == ["QUEUED", "RUNNING", "QUEUED", "RUNNING", "SUCCEEDED"]
    assert "goes on from its last checkpoint" in states[2].note
    assert place.versions() == ["1"]


def test_a_cancelled_job_stops_all_its_processes_and_leaves_nothing(place, data):
    with start_training(place, **TWO) as server, TrainingClient(server.address) as client:
        job = client.create(request(data, LONG)).id
        after_first_epoch(client, job)
        workers = processes_of(server)
        client.cancel(job)
        assert client.wait(job).state is JobState.CANCELLED
        wait_until(lambda: not any(worker.is_running() for worker in workers))
        assert place.versions() == []
        wait_until(lambda: place.left_over() == [])


def test_no_process_outlives_the_service(place, data):
    with start_training(place, **TWO) as server, TrainingClient(server.address) as client:
        job = client.create(request(data, LONG)).id
        after_first_epoch(client, job)
        workers = [worker_of(server), *processes_of(server)]
        kill(server.process.pid)
        server.process.wait()
        wait_until(lambda: not any(worker.is_running() for worker in workers))


def test_the_command_line_trains_in_place_under_torchrun(shared, data):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command += ["--nproc-per-node", "2", "-m", "trunkline.cli.main", "train", "--json", "--name", "in-place"]
    command += ["--data", str(data), "--width", "96", "--epochs", "8"]
    command += ["--models", str(shared.models), "--cache", str(shared.folder / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # one document: only one process tells
    assert (report["head"], report["version"]) == ("in-place", "1")
    assert report["metrics"]["accuracy"] >= 0.9
    assert shared.versions("in-place") == ["1"]
    assert Repository(shared.models).head("in-place").manifest.mode == "features"
