"""Training jobs over real ports: too much is refused, a full queue says so, and jobs are removed by all ways."""

import json
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request

import grpc
import pytest

pytest.importorskip("sqlalchemy", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("starlette", reason="needs the http extra: pip install -e '.[http]'")

from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.conftest import free_port, start_server
from tests.service.jobs import make_place, start_training, wait_until
from trunkline.api.training.v1 import training_service_pb2 as pb
from trunkline.api.training.v1.training_service_pb2_grpc import TrainingServiceStub
from trunkline.client import AsyncTrainingClient, JobState, ServiceError, TrainingClient, TrainRequest

ANY_SIZE = [("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder in which there is nothing to learn: its jobs fail as soon as they begin."""
    return str(tmp_path_factory.mktemp("nothing"))


@pytest.fixture(scope="module")
def http_port():
    return free_port()


@pytest.fixture(scope="module")
def place(tmp_path_factory, models):
    place = make_place(tmp_path_factory.mktemp("split") / "service", models)
    (place.models / "heads/imagenet").mkdir(parents=True)
    (place.models / "heads/imagenet/2").symlink_to(models / "heads/imagenet/2")
    return place


@pytest.fixture(scope="module")
def gateway(place, http_port):
    """The split form, so that all calls are passed on."""
    environment = place.environment(
        TRUNKLINE_TRAINING_JOBS="1",
        TRUNKLINE_TRAINING_QUEUE="3",
        TRUNKLINE_TRAINING_ADDRESS=f"127.0.0.1:{free_port()}",
        TRUNKLINE_GALLERY_DATABASE="",
    )
    with start_server(place.folder / "log", "--split", "--http", f"127.0.0.1:{http_port}", **environment) as server:
        with TrainingClient(server.address) as client:
            wait_until(lambda: answers(client))
        yield server


def answers(client) -> bool:
    """The gateway is ready before the training service is."""
    try:
        return list(client.list()) == []
    except ServiceError:
        return False


@pytest.fixture
def stub(gateway):
    """With the limits on received messages that clients have by default."""
    with grpc.insecure_channel(gateway.address, options=ANY_SIZE) as channel:
        yield TrainingServiceStub(channel)


@pytest.fixture
def client(gateway):
    with TrainingClient(gateway.address) as connected:
        yield connected


def ended(client, data, name="nothing") -> str:
    """The id of a job that has ended."""
    job = client.create(TrainRequest(name=name, data=data)).id
    client.cancel(job)
    wait_until(lambda: client.get(job).state.final)
    return job


def ask(port: int, verb: str, path: str) -> tuple[int, dict]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=verb)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def reason(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    return next(info.reason for detail in rpc_status.from_call(error).details if detail.Unpack(info))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"target": ["t"] * 1_500_000}, "request"),
        ({"licence": "L" * 30_000_000}, "request"),
        ({"target": ["t"] * 300}, "request.target has 300 items; at most 256"),
        ({"licence": "terms " * 1000}, "request.licence has 6,000 characters; at most 4,096"),
        ({"unit": {f"column {number}": "mm" for number in range(257)}}, "request.unit has 257 items; at most 256"),
        ({"validation_split": "v" * 300}, "request.validation_split has 300 characters; at most 255"),
        ({"options": {"rate": float("nan")}}, "request.options.rate is not a finite number"),
        ({"options": {"rate": float("inf")}}, "request.options.rate is not a finite number"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_request_that_holds_too_much_is_refused_and_makes_no_job(stub, client, data, fields, named):
    before = [job.id for job in client.list()]
    request = pb.CreateTrainingJobRequest(request={"name": "much", "data": data, **fields})
    with pytest.raises(grpc.RpcError) as caught:
        stub.CreateTrainingJob(request, timeout=60)
    assert (caught.value.code().name, reason(caught.value)) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert named in caught.value.details()
    assert len(caught.value.details()) < 300
    assert [job.id for job in client.list()] == before


def test_ids_and_tokens_that_are_too_long_are_refused_without_an_echo(stub):
    long = "j" * 300_000
    for call, request in (
        (stub.GetTrainingJob, pb.GetTrainingJobRequest(job=long)),
        (stub.CancelTrainingJob, pb.CancelTrainingJobRequest(job=long)),
        (stub.DeleteTrainingJob, pb.DeleteTrainingJobRequest(job=long)),
        (stub.ListTrainingJobs, pb.ListTrainingJobsRequest(page_token=long)),
        (stub.ListTrainingJobs, pb.ListTrainingJobsRequest(states=[1] * 100_000)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=60)
        assert caught.value.code().name == "INVALID_ARGUMENT"
        assert len(caught.value.details()) < 200
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.WatchTrainingJob(pb.WatchTrainingJobRequest(job=long), timeout=60))
    assert caught.value.code().name == "INVALID_ARGUMENT"


def test_a_job_that_has_ended_is_removed_by_the_command_line(gateway, client, data):
    job = ended(client, data)
    command = [sys.executable, "-m", "trunkline.cli.main", "jobs", "delete", job, "--target", gateway.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{job} removed\n")
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 1
    assert f"there is no job '{job}'" in again.stderr
    assert job not in [each.id for each in client.list()]
    with pytest.raises(ServiceError) as caught:
        list(client.watch(job))
    assert caught.value.code == "NOT_FOUND"


async def test_a_job_is_removed_by_both_clients_and_over_http(gateway, client, data, http_port):
    jobs = [ended(client, data) for _ in range(3)]
    client.delete(jobs[0])
    async with AsyncTrainingClient(gateway.address) as asking:
        await asking.delete(jobs[1])
        with pytest.raises(ServiceError) as caught:
            await asking.delete(jobs[1])
        assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "NOT_FOUND")
    assert ask(http_port, "DELETE", f"/v1/trainingJobs/{jobs[2]}") == (200, {})
    code, status = ask(http_port, "DELETE", f"/v1/trainingJobs/{jobs[2]}")
    assert (code, status["code"]) == (404, 5)
    assert not set(jobs) & {each.id for each in client.list()}


def test_a_list_answers_whatever_is_stored(place, gateway, client, stub, data, http_port):
    """Texts of 3 MB in a database of before, and an entry that is damaged: lists are small and have all others."""
    plain, damaged, *large = (ended(client, data) for _ in range(5))
    with sqlite3.connect(place.folder / "jobs.db", timeout=30) as database:
        for job in large:
            fields = {"name": "nothing", "data": data, "licence": "L" * 3_000_000, "unit": {"a": "b"}}
            database.execute("UPDATE jobs SET request = ? WHERE id = ?", (json.dumps(fields), job))
        database.execute("UPDATE jobs SET request = '{', error = '}' WHERE id = ?", (damaged,))
    database.close()
    listed = stub.ListTrainingJobs(pb.ListTrainingJobsRequest(), timeout=60)
    assert listed.ByteSize() < 100_000
    assert {plain, *large} <= {job.id for job in listed.jobs}
    assert damaged not in {job.id for job in listed.jobs}
    assert {plain, *large} <= {job.id for job in client.list([JobState.CANCELLED])}
    code, page = ask(http_port, "GET", "/v1/trainingJobs?page_size=2")
    assert (code, len(page["jobs"])) == (200, 2)
    assert stub.GetTrainingJob(pb.GetTrainingJobRequest(job=large[0]), timeout=60).ByteSize() < 10_000
    with pytest.raises(ServiceError, match=f"trunkline jobs delete {damaged}") as caught:
        client.get(damaged)
    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "JOB_STATE")
    for job in (plain, damaged, *large):
        client.delete(job)
    assert list(client.list()) == []


def test_a_full_queue_is_said_with_a_time_and_a_repeated_call_gets_its_job(tmp_path, models, samples):
    place = make_place(tmp_path / "service", models)
    with start_training(place, TRUNKLINE_TRAINING_QUEUE="2") as server, TrainingClient(server.address) as client:
        running = client.create(slow(tmp_path, samples)).id
        wait_until(lambda: client.get(running).state is JobState.RUNNING)
        waiting = [client.create(slow(tmp_path, samples), request_id=f"wish {number}").id for number in range(2)]
        with pytest.raises(ServiceError, match="2 training jobs wait already") as caught:
            client.create(slow(tmp_path, samples))
        assert (caught.value.code, caught.value.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
        assert caught.value.retry_after_s >= 1
        assert client.create(slow(tmp_path, samples), request_id="wish 1").id == waiting[1]
        with pytest.raises(ServiceError, match=f"trunkline jobs cancel {waiting[0]}") as caught:
            client.delete(waiting[0])
        assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "JOB_STATE")
        with pytest.raises(ServiceError, match="has not ended"):
            client.delete(running)
        client.cancel(waiting[0])
        client.create(slow(tmp_path, samples))
        for job in client.list([JobState.QUEUED, JobState.RUNNING]):
            client.cancel(job.id)
        wait_until(lambda: client.get(running).state is JobState.CANCELLED)
        client.delete(running)
        wait_until(lambda: place.left_over() == [])


def slow(folder, samples) -> TrainRequest:
    """Of pictures that are there, for longer than any test waits."""
    from tests.service.crops import class_folders

    data = folder / "data"
    if not data.exists():
        data.mkdir()
        class_folders(data, samples)
    spec = {"width": 128, "height": 128}
    return TrainRequest(name="long", data=str(data), spec=spec, options={"epochs": 10_000})
