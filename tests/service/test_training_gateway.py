"""The training service through the gateway of the split form: one target for every call."""

import json
import subprocess
import sys

import psutil
import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("sqlalchemy", reason="needs the train extra: pip install -e '.[train]'")

from tests.conftest import Server, free_port, start_server
from tests.service.crops import class_folders
from tests.service.jobs import has_ended, kill, make_place, request, wait_until
from trunkline.assembly import roles
from trunkline.client import AsyncTrainingClient, Client, Epoch, JobState, ServiceError, StateChange, TrainingClient
from trunkline.testing.serve import local_settings

LONG = 10_000


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("data"), samples)


@pytest.fixture(scope="module")
def place(tmp_path_factory, models):
    place = make_place(tmp_path_factory.mktemp("split") / "service", models)
    (place.models / "heads/imagenet").mkdir(parents=True)
    (place.models / "heads/imagenet/2").symlink_to(models / "heads/imagenet/2")
    return place


@pytest.fixture(scope="module")
def gateway(place):
    environment = place.environment(
        TRUNKLINE_TRAINING_JOBS="1", TRUNKLINE_TRAINING_ADDRESS=f"127.0.0.1:{free_port()}"
    )
    with start_server(place.folder / "log", "--split", **environment) as server:
        yield server


def training_process(gateway: Server) -> psutil.Process:
    children = psutil.Process(gateway.process.pid).children()
    return next(child for child in children if "training" in child.cmdline())


def test_a_job_is_trained_and_watched_through_the_gateway(gateway, place, data):
    wanted = request(data).model_dump_json()
    code = (
        "from trunkline.cli.jobs import submit_and_watch; from trunkline.core.train_request import TrainRequest; "
        f"submit_and_watch(TrainRequest.model_validate_json({wanted!r}), {gateway.address!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("head photos version ")
    assert "epochs: loss " in done.stderr
    command = [sys.executable, "-m", "trunkline.cli.main", "jobs", "list", "--json", "--target", gateway.address]
    listed = json.loads(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    assert [job["state"] for job in listed] == ["SUCCEEDED"]


def test_a_watch_through_the_gateway_goes_on_over_a_restart_of_the_training_service(gateway, data):
    with TrainingClient(gateway.address) as client:
        job = client.create(request(data, epochs=20)).id
        watching = client.watch(job)
        events = [next(watching)]
        while not isinstance(events[-1].what, Epoch):
            events.append(next(watching))
        kill(training_process(gateway).pid)  # the supervisor starts it again
        events += watching
        found = client.get(job)
    assert (found.state, found.attempt) == (JobState.SUCCEEDED, 2)
    states = [event.what.state for event in events if isinstance(event.what, StateChange)]
    assert states == ["QUEUED", "RUNNING", "QUEUED", "RUNNING", "SUCCEEDED"]
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))


def test_errors_pass_as_they_are(gateway):
    with TrainingClient(gateway.address) as client:
        for ask in (client.get, client.cancel, client.wait):
            with pytest.raises(ServiceError, match="no job 'job-none'") as caught:
                ask("job-none")
            assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "NOT_FOUND")


def test_a_gateway_that_stops_ends_its_streams_and_cancels_nothing(gateway, place, data):
    with TrainingClient(gateway.address) as client:
        job = client.create(request(data, LONG)).id
        watching = client.watch(job, patience_s=0)
        next(watching)
        process = next(
            child for child in psutil.Process(gateway.process.pid).children() if "gateway" in child.cmdline()
        )
        process.terminate()
        with pytest.raises(ServiceError) as caught:
            list(watching)
        assert caught.value.code == "UNAVAILABLE"
        with Client(gateway.address) as asking:
            wait_until(lambda: has_ended(process))
            asking.wait_ready(timeout_s=60)
        assert not client.get(job).state.final
        client.cancel(job)
        assert client.wait(job).state is JobState.CANCELLED


async def test_a_gateway_whose_training_service_is_away_says_so():
    address = f"127.0.0.1:{free_port()}"
    settings = local_settings(training_jobs=1, training_address=address)
    async with roles.gateway(settings) as host:
        error = await refusal(host.address)
    assert (error.code, error.reason) == ("UNAVAILABLE", "UNAVAILABLE")
    assert error.message == f"the training service at {address} cannot be reached"


async def test_a_gateway_without_training_says_what_to_do():
    async with roles.gateway(local_settings()) as host:
        error = await refusal(host.address)
    assert (error.code, error.reason) == ("UNIMPLEMENTED", "NO_TRAINING")
    assert "trunkline serve training" in error.message


async def refusal(address: str) -> ServiceError:
    async with AsyncTrainingClient(address) as client:
        with pytest.raises(ServiceError) as caught:
            await client.get("job-none")
        with pytest.raises(ServiceError) as watched:
            async for _ in client.watch("job-none", patience_s=0):
                pass
    assert watched.value.code == caught.value.code
    return caught.value
