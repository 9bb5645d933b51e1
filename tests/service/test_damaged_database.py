"""Broken databases of processes: inference serves, galleries and jobs say what to do, and come back by themselves."""

import asyncio
import concurrent.futures
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

pytest.importorskip("sqlalchemy", reason="needs the gallery extra: pip install -e '.[gallery]'")
pytest.importorskip("usearch", reason="needs the gallery extra: pip install -e '.[gallery]'")

from tests.conftest import ROOT, Server, free_port, start_server
from tests.postgresql import PostgreSQL, private_postgresql
from tests.service.galleries import environment_of
from trunkline.client import Client, GalleryClient, GalleryImage, ServiceError, TrainingClient

GALLERIES = "trunkline.api.vision.v1.GalleryService"
TRAINING = "trunkline.api.training.v1.TrainingService"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def health(address: str, service: str) -> int:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status


def within(seconds: float, holds: Callable[[], bool], what: str) -> None:
    ends_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends_at, what
        time.sleep(0.1)


def refusal(call: Callable[[], object]) -> ServiceError | None:
    try:
        call()
    except ServiceError as error:
        return error
    return None


def is_out(call: Callable[[], object], match: str) -> bool:
    error = refusal(call)
    if error is None:
        return False
    assert error.code == "UNAVAILABLE", error
    assert "/" not in error.message
    return match in error.message


@pytest.fixture
def environment(tmp_path, models) -> dict[str, str]:
    training = pytest.importorskip("torch", reason="needs the train extra") and tmp_path / "training"
    return {
        **environment_of(tmp_path, models),
        "TRUNKLINE_TRAINING_JOBS": "1",
        "TRUNKLINE_TRAINING_DATABASE": f"sqlite:///{training}/jobs.db",
        "TRUNKLINE_TRAINING_WORK": str(training),
    }


def listed(client: GalleryClient | TrainingClient) -> Callable[[], object]:
    return lambda: list(client.list())


def images(photos: list[Path]) -> list[GalleryImage]:
    return [GalleryImage(photo, "thing", photo.stem) for photo in photos]


def damage(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(50_000))


def test_a_process_starts_with_damaged_databases_and_serves_each_once_it_is_moved_away(tmp_path, environment, photos):
    paths = [tmp_path / "galleries" / "galleries.db", tmp_path / "training" / "jobs.db"]
    for path in paths:
        damage(path)
    with start_server(tmp_path / "log", **environment) as server, Client(server.address) as client:
        assert [health(server.address, name) for name in ("", GALLERIES, TRAINING)] == [
            SERVING,
            NOT_SERVING,
            NOT_SERVING,
        ]
        assert client.classify(photos[0], head="imagenet").result.labels
        with GalleryClient(server.address) as galleries, TrainingClient(server.address) as training:
            for call in (
                listed(galleries),
                lambda: galleries.create("pets", "likeness"),
                lambda: galleries.get("pets"),
                lambda: client.classify(photos[0], head="gallery:pets"),
            ):
                assert is_out(call, "galleries.db is damaged: restore it from a backup or move it away")
            for call in (listed(training), lambda: training.get("job-1"), lambda: training.cancel("job-1")):
                assert is_out(call, "jobs.db is damaged: restore it from a backup or move it away")
            time.sleep(2.5)
            for path in paths:
                lines = [line for line in server.log.splitlines() if str(path) in line]
                assert len(lines) == 1, server.log
                assert "WARNING" in lines[0]
            assert "Traceback" not in server.log
            for path in paths:
                path.rename(path.with_name("aside"))
            within(20, lambda: health(server.address, GALLERIES) == SERVING, "galleries do not come back")
            within(20, lambda: health(server.address, TRAINING) == SERVING, "training does not come back")
            galleries.create("pets", "likeness")
            assert [each.name for each in galleries.list()] == ["pets"]
            assert not list(training.list())
        assert server.stop() == 0


def test_a_file_that_is_overwritten_while_the_process_runs_is_out_until_its_backup_is_there(
    tmp_path, environment, photos
):
    path = tmp_path / "galleries" / "galleries.db"
    with start_server(tmp_path / "log", **environment) as server, Client(server.address) as client:
        with GalleryClient(server.address) as galleries:
            galleries.create("things", "likeness")
            list(galleries.add("things", images(photos[:2])))
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(tmp_path / "backup")) as backup:
                source.backup(backup)
            list(galleries.add("things", images(photos[2:3])))
            damage(path)
            within(20, lambda: is_out(listed(galleries), "damaged"), "the damage is not seen")
            within(20, lambda: health(server.address, GALLERIES) == NOT_SERVING, "health does not say so")
            assert health(server.address, "") == SERVING
            assert client.classify(photos[0], head="imagenet").result.labels
            answers = list(galleries.add("things", images(photos[3:4])))
            assert [answer.error.code for answer in answers] == ["UNAVAILABLE"]
            shutil.copyfile(tmp_path / "backup", path)
            within(20, lambda: health(server.address, GALLERIES) == SERVING, "galleries do not come back")
            within(20, lambda: galleries.get("things").images == 2, "it is not the backup")
            within(
                20,
                lambda: len(galleries.search("things", photos[0], 10, "images", 2.0).matches) == 2,
                "the search is not that of the backup",
            )
        assert "Traceback" not in server.log
        assert server.stop() == 0


def test_a_locked_database_with_a_hundred_waiting_calls_costs_nobody_else(tmp_path, environment, photos):
    path = tmp_path / "galleries" / "galleries.db"
    with (
        start_server(tmp_path / "log", **environment) as server,
        Client(server.address) as client,
        GalleryClient(server.address) as galleries,
    ):
        galleries.create("things", "likeness")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with concurrent.futures.ThreadPoolExecutor(100) as callers:
                started_at = time.monotonic()
                calls = [
                    callers.submit(refusal, lambda number=number: galleries.create(f"more-{number}", "likeness"))
                    for number in range(100)
                ]
                slowest_health = slowest = 0.0
                while not all(call.done() for call in calls):
                    before = time.monotonic()
                    assert health(server.address, "") == SERVING
                    slowest_health = max(slowest_health, time.monotonic() - before)
                    before = time.monotonic()
                    assert client.classify(photos[0], head="imagenet").result.labels
                    slowest = max(slowest, time.monotonic() - before)
                assert time.monotonic() - started_at < 45
            errors = [call.result() for call in calls]
            assert {error.code for error in errors} == {"UNAVAILABLE"}
            assert any("is locked by another process" in error.message for error in errors)
            assert slowest_health < 3
            assert slowest < 5
            assert "locked by another process" in server.log
            within(20, lambda: health(server.address, GALLERIES) == NOT_SERVING, "health does not say so")
            other.execute("ROLLBACK")
        within(30, lambda: health(server.address, GALLERIES) == SERVING, "galleries do not come back")
        galleries.create("more", "likeness")
        assert "Traceback" not in server.log


@pytest.fixture
def postgresql_alone() -> Iterator[PostgreSQL]:
    """One that may be stopped: nobody else uses it."""
    with private_postgresql() as server:
        yield server


@contextmanager
def serve_training(log: Path, environment: dict[str, str]) -> Iterator[Server]:
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", "training", "--address", address]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stderr=output, cwd=ROOT, env={**os.environ, **environment})
    server = Server(process, address, log)
    try:
        within(90, lambda: "up in" in server.log, "it does not start")
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize("kind", ["rubbish", "a folder", "another program's"])
def test_the_training_service_alone_starts_says_what_is_wrong_and_serves_when_it_is_mended(
    kind, tmp_path, environment
):
    path = tmp_path / "training" / "jobs.db"
    path.parent.mkdir()
    if kind == "rubbish":
        damage(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE songs (title TEXT)")
            other.commit()
    with serve_training(tmp_path / "log", environment) as server:
        assert health(server.address, "") == SERVING
        assert health(server.address, TRAINING) == NOT_SERVING
        assert str(path) in server.log
        with TrainingClient(server.address) as training:
            assert is_out(listed(training), "job database jobs.db")
            path.rename(path.with_name("aside"))
            within(20, lambda: health(server.address, TRAINING) == SERVING, "training does not come back")
            assert not list(training.list())
        assert "Traceback" not in server.log
        assert server.stop() == 0


def test_postgresql_may_come_later_go_freeze_and_come_back(tmp_path, environment, photos, postgresql_alone):
    url = postgresql_alone.new_database()
    environment = {**environment, "TRUNKLINE_GALLERY_DATABASE": url, "TRUNKLINE_TRAINING_DATABASE": url}
    postgresql_alone.stop()
    with (
        start_server(tmp_path / "log", **environment) as server,
        Client(server.address) as client,
        GalleryClient(server.address) as galleries,
        TrainingClient(server.address) as training,
    ):
        assert client.classify(photos[0], head="imagenet").result.labels
        assert is_out(listed(galleries), "gallery database does not answer")
        assert is_out(listed(training), "job database does not answer")
        assert [health(server.address, name) for name in (GALLERIES, TRAINING)] == [NOT_SERVING] * 2
        postgresql_alone.start()
        for name in (GALLERIES, TRAINING):
            within(30, lambda name=name: health(server.address, name) == SERVING, f"{name} does not come back")
        galleries.create("things", "likeness")
        assert not list(training.list())
        with postgresql_alone.frozen():
            within(60, lambda: health(server.address, GALLERIES) == NOT_SERVING, "a frozen server is not seen")
            assert client.classify(photos[0], head="imagenet").result.labels
            assert health(server.address, "") == SERVING
            assert refusal(listed(galleries)).code == "UNAVAILABLE"
        for name in (GALLERIES, TRAINING):
            within(60, lambda name=name: health(server.address, name) == SERVING, f"{name} does not come back")
        assert [each.name for each in galleries.list()] == ["things"]
        assert "Traceback" not in server.log
        with postgresql_alone.frozen():
            assert server.stop() == 0


def test_threads_of_a_database_leave_those_of_everybody_alone():
    from trunkline.core.errors import ServiceUnavailableError
    from trunkline.database.threads import Threads

    async def main() -> None:
        threads = Threads("gallery database", 2, most_waiting=8, within_s=0.5)
        calls = [asyncio.create_task(threads.run(time.sleep, 3)) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(ServiceUnavailableError, match="does not answer"):
            await threads.run(time.time)  # too many wait
        assert await asyncio.to_thread(lambda: 5) == 5
        for call in calls:
            with pytest.raises(ServiceUnavailableError, match="in time"):
                await call
        with pytest.raises(ServiceUnavailableError):
            await threads.run(time.time)  # both hang
        await asyncio.sleep(3.5)
        assert await threads.run(lambda: 7) == 7
        await threads.close()

    asyncio.run(main())
