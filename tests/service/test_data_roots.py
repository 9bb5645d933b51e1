"""Which data the training service reads for whom, and how many evaluations wait for how long."""

import asyncio
import os
import re
import time
from pathlib import Path

import grpc
import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("sqlalchemy", reason="needs the train extra: pip install -e '.[train]'")

from tests.conftest import free_port, start_server
from tests.service.crops import class_folders
from tests.service.jobs import Place, make_place, request, start_training, wait_until
from trunkline.api.training.v1 import training_service_pb2 as pb
from trunkline.api.training.v1 import training_service_pb2_grpc as pb_grpc
from trunkline.client import JobState, ServiceError, TrainingClient
from trunkline.core.errors import DeadlineError, InvalidRequestError, QueueFullError
from trunkline.core.watch import GIB
from trunkline.jobs import evaluation as module
from trunkline.jobs import patience
from trunkline.jobs.evaluation import Evaluator, Limits
from trunkline.jobs.patience import Patience

FORBIDDEN = ("PERMISSION_DENIED", "DATA_FORBIDDEN")


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    """Crops of photographs in folders of classes of imagenet."""
    root = tmp_path_factory.mktemp("roots") / "data"
    crops = class_folders(root / "photos", samples, {"train": 2, "test": 2})
    for name, label in (("chelsea", "Egyptian cat"), ("coffee", "espresso"), ("camera", "tripod")):
        for split in ("train", "test"):
            (crops / split / name).rename(crops / split / label)
    (root / "out").symlink_to("/etc")
    return root


@pytest.fixture
def place(tmp_path, models) -> Place:
    place = make_place(tmp_path / "service", models)
    (place.models / "heads/imagenet").mkdir(parents=True)
    (place.models / "heads/imagenet/2").symlink_to(models / "heads/imagenet/2")
    return place


def refusals(client: TrainingClient, path: str) -> list[ServiceError]:
    found = []
    for ask in (lambda: client.create(request(Path(path))), lambda: client.evaluate("imagenet", path)):
        with pytest.raises(ServiceError) as caught:
            ask()
        found.append(caught.value)
    return found


def test_what_is_not_below_the_roots_is_refused_in_the_same_words(place, data):
    with (
        start_training(place, TRUNKLINE_TRAINING_DATA_ROOTS=f"/nowhere, {data}") as server,
        TrainingClient(server.address) as client,
    ):
        outside = (
            "/etc",
            "/etc/nothing-there",
            f"{data}/../..",
            f"{data}/out",
            f"{data}/out/ssl",
            str(data) + "x",
        )
        for path in outside:
            for error in refusals(client, path):
                assert (error.code, error.reason) == FORBIDDEN
                assert error.message == f"{path} is not below a folder of TRUNKLINE_TRAINING_DATA_ROOTS"
        changes = {"task": "segmentation", "mode": "scratch", "size": "large", "weights": "/etc/passwd"}
        with pytest.raises(ServiceError, match="/etc/passwd is not below") as caught:
            client.create(request(data / "photos", **changes))
        assert (caught.value.code, caught.value.reason) == FORBIDDEN
        assert client.evaluate("imagenet", str(data / "photos")).count == 6
        for error in refusals(client, f"{data}/gone"):
            assert (error.code, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert list(client.list()) == []


def test_a_job_does_not_follow_a_link_that_appeared_after_it_was_taken(place, data, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "mine").symlink_to(data / "photos")
    (root / "real").mkdir()
    with (
        start_training(place, TRUNKLINE_TRAINING_DATA_ROOTS=str(root)) as server,
        TrainingClient(server.address) as client,
    ):
        assert [error.reason for error in refusals(client, f"{root}/mine")] == ["DATA_FORBIDDEN"] * 2
        (root / "real/photos").symlink_to(data / "photos")
        job = client.wait(client.create(request(root / "real")).id)
        with pytest.raises(ServiceError, match="leads out of the folders of TRUNKLINE_TRAINING_DATA_ROOTS"):
            client.evaluate("imagenet", str(root / "real"))
    assert (job.state, job.error.reason) == (JobState.FAILED, "DATA_INVALID")
    assert job.error.message == "photos: it is a link that leads out of the folders of TRUNKLINE_TRAINING_DATA_ROOTS"


def test_without_roots_a_service_for_the_network_reads_nothing(place, data):
    port = free_port()
    with (
        start_server(
            place.folder / "log", "training", "--insecure", address=f"0.0.0.0:{port}", **place.environment()
        ),
        TrainingClient(f"127.0.0.1:{port}") as client,
    ):
        for error in refusals(client, str(data / "photos")):
            assert (error.code, error.reason) == FORBIDDEN
            assert "set TRUNKLINE_TRAINING_DATA_ROOTS" in error.message
        assert list(client.list()) == []


def _address_of_training(log: str) -> str:
    """The supervisor says where each process listens."""
    return re.search(r"serve training --address (\S+)", log)[1]


@pytest.mark.parametrize("network", [True, False])
def test_a_gateway_for_the_network_before_a_service_on_loopback_counts(place, data, network):
    environment = place.environment(TRUNKLINE_TRAINING_JOBS="1")
    http = ("--insecure", "--http", f"0.0.0.0:{free_port()}") if network else ()
    with (
        start_server(place.folder / "log", "--split", *http, **environment) as server,
        TrainingClient(server.address) as client,
        TrainingClient(_address_of_training(server.log)) as beside,
    ):
        wait_until(lambda: answers(client))
        if network:
            for error in refusals(client, str(data / "photos")):
                assert (error.code, error.reason) == FORBIDDEN
        # Who reaches the training service itself is on this machine.
        assert [error.reason for error in refusals(beside, "/nowhere")] == ["INVALID_REQUEST"] * 2
        if not network:
            assert client.evaluate("imagenet", str(data / "photos")).count == 6


def answers(client: TrainingClient) -> bool:
    try:
        return list(client.list()) == []
    except ServiceError as error:
        if error.code != "UNAVAILABLE":
            raise
        return False


@pytest.fixture
def slow(tmp_path, monkeypatch) -> Path:
    """Evaluations that last until they are ended; each leaves a file."""
    code = (
        "import os, sys, time\n"
        "sys.stdin.read()\n"
        f"open(os.path.join({str(tmp_path)!r}, str(os.getpid())), 'w').close()\n"
        "held = bytearray(int(os.environ.get('TEST_HOLD', 0)))\n"
        "for at in range(0, len(held), 4096): held[at] = 1\n"
        "print(os.environ.get('TEST_ANSWER', ''), flush=True)\n"
        "time.sleep(0 if 'TEST_ANSWER' in os.environ else 600)\n"
    )
    package = tmp_path / "packages"
    package.mkdir()
    (package / "slow_evaluation.py").write_text(code)
    monkeypatch.setattr(module, "EVALUATION_MODULE", "slow_evaluation")
    monkeypatch.setenv("PYTHONPATH", f"{package}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return tmp_path


def started(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_started(folder: Path) -> None:
    while not started(folder):  # noqa: ASYNC110 - another process writes the file
        await asyncio.sleep(0.02)


async def test_callers_wait_until_their_deadline_and_a_few_of_them_at_most(slow):
    evaluator = Evaluator("models", (), {}, Limits(waiting=2, wait_s=0.5))
    running = asyncio.create_task(evaluator.evaluate("x", "y", None, None))
    await until_started(slow)
    started_at = time.monotonic()
    first = asyncio.create_task(evaluator.evaluate("x", "y", None, 0.3))
    second = asyncio.create_task(evaluator.evaluate("x", "y", None, None))
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError, match="an evaluation runs and 2 wait") as caught:
        await evaluator.evaluate("x", "y", None, None)
    assert caught.value.retry_after_s > 0
    with pytest.raises(DeadlineError, match="while its evaluation waited"):
        await first
    with pytest.raises(QueueFullError, match="no turn came within"):
        await second
    assert time.monotonic() - started_at < 20
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not any(map(lives, started(slow)))
    with pytest.raises(DeadlineError, match="did not end within"):  # the place is free again
        await evaluator.evaluate("x", "y", None, 2.0)
    assert not any(map(lives, started(slow)))


async def test_an_evaluation_ends_where_its_time_or_its_memory_does(slow):
    evaluator = Evaluator("models", (), {}, Limits(longest_s=1.5))
    with pytest.raises(DeadlineError, match="did not end within 2 s"):
        await evaluator.evaluate("x", "y", None, None)
    evaluator = Evaluator("models", (), {"TEST_HOLD": str(GIB)}, Limits(memory=GIB // 4))
    with pytest.raises(InvalidRequestError, match="more than 256 MiB of memory"):
        await evaluator.evaluate("x", "y", None, None)
    assert not any(map(lives, started(slow)))


@pytest.mark.parametrize("answer", ["", "{", "[]", '{"error": "zz"}', '{"error": "ffff"}', '{"head": 1}', "[" * 9999])
async def test_an_answer_that_is_none_is_an_error_without_internals(slow, answer):
    evaluator = Evaluator("models", (), {"TEST_ANSWER": answer})
    with pytest.raises(RuntimeError, match="ended with status 0 and no answer"):
        await evaluator.evaluate("x", "y", None, None)


async def test_a_question_to_a_disk_that_does_not_answer_ends_and_hinders_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(patience, "CHECK_S", 0.3)
    os.mkfifo(tmp_path / "hangs")
    asking = Patience(most=2)
    for _ in range(2):
        with pytest.raises(DeadlineError, match="the disk did not answer within"):
            await asking.ask("it", (tmp_path / "hangs").read_bytes, None)
    with pytest.raises(QueueFullError, match="too many calls already wait"):
        await asking.ask("it", lambda: 1, None)
    assert await asyncio.to_thread(lambda: 2) == 2  # the threads of others are free
    for _ in range(2):
        (tmp_path / "hangs").write_bytes(b"x")
    while True:
        try:
            assert await asking.ask("it", lambda: 3, None) == 3
            break
        except QueueFullError:
            await asyncio.sleep(0.02)
    with pytest.raises(ZeroDivisionError):
        await asking.ask("it", lambda: 1 // 0, 5.0)


async def test_a_call_with_a_deadline_is_answered_by_it(place, data):
    with start_training(place) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = pb_grpc.TrainingServiceStub(channel)
            asked = pb.EvaluateHeadRequest(head="imagenet", data=str(data / "photos"))
            first = stub.EvaluateHead(asked, timeout=120)
            await asyncio.sleep(0.3)
            started_at = time.monotonic()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.EvaluateHead(asked, timeout=0.5)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert time.monotonic() - started_at < 10
            assert (await first).count == 6
