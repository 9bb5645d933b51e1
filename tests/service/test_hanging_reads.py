"""A disk that stops answering costs the heads that are on it, no other, and holds up no end."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Server, start_server
from tests.hanging_disk import Disk
from trunkline.client import CatalogClient, Client, ServiceError

HEADS = ("digit-angle", "flowers102", "imagenet")
HUNG = "digit-angle"
END_S = 40  # the drain of two seconds, and what a busy machine needs


@pytest.fixture
def repository(models, tmp_path) -> Path:
    """The backbone and three heads in folders of their own, each with one version."""
    made = tmp_path / "models"
    (made / "backbones").mkdir(parents=True)
    (made / "backbones/efficientnet-lite0").symlink_to((models / "backbones/efficientnet-lite0").resolve())
    for name in HEADS:
        newest = max((models / "heads" / name).glob("[0-9]*"), key=lambda path: int(path.name))
        shutil.copytree(newest, made / "heads" / name / newest.name)
    return made


def settings(repository: Path, **further: str) -> dict[str, str]:
    return {"TRUNKLINE_MODELS": str(repository), "TRUNKLINE_DRAIN_S": "2", **further}


def default_of(repository: Path, name: str) -> int:
    return next(int(path.name) for path in (repository / "heads" / name).glob("[0-9]*"))


def name_an_alias(repository: Path, name: str, alias: str) -> None:
    """A change of the catalog, as another process makes it."""
    version = default_of(repository, name)
    state = {"default": version, "aliases": {alias: version}, "revision": 1}
    file = repository / "heads" / name / "catalog.json"
    file.with_suffix(".new").write_text(json.dumps(state))
    file.with_suffix(".new").rename(file)


def is_followed(client: Client, head: str, alias: str) -> bool:
    return any(alias in each.aliases for each in client.list_heads() if each.name == head)


def warning_of(client: Client, head: str) -> str:
    return next(each.warning for each in client.list_heads() if each.name == head)


def wait_until(condition, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not within time"
        time.sleep(0.2)


def ends_in_time(server: Server) -> None:
    began_at = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began_at < END_S


@pytest.mark.slow
@pytest.mark.parametrize("form", [(), ("--split",)], ids=["all in one", "split"])
def test_a_head_that_hangs_is_served_on_the_others_are_followed_and_its_return_is_seen(
    form, repository, tmp_path, samples
):
    catalog = repository / "heads" / HUNG / "catalog.json"
    name_an_alias(repository, HUNG, "before")
    disk = Disk(tmp_path, catalog)
    with start_server(tmp_path / "log", *form, **settings(repository), **disk.environment) as server:
        with Client(server.address) as client, CatalogClient(server.address) as models:
            disk.take_away(catalog)
            name_an_alias(repository, "flowers102", "good")
            wait_until(lambda: is_followed(client, "flowers102", "good"))
            wait_until(lambda: "have not answered for more than 10 s" in warning_of(client, HUNG))
            for head in HEADS:
                assert client.analyze(samples / "clock.jpg", [head], timeout_s=30)[head].value() is not None
            listed = {model.name: model for model in models.models()}
            assert listed["flowers102"].fault == ""
            assert "not answered" in listed[HUNG].fault
            disk.bring_back(catalog)
            name_an_alias(repository, HUNG, "back")
            wait_until(lambda: is_followed(client, HUNG, "back"))
            assert warning_of(client, HUNG) == ""
            disk.take_away(catalog)
            time.sleep(2)  # so that a look is under way
        ends_in_time(server)


@pytest.mark.slow
def test_a_service_starts_without_a_head_that_hangs_and_serves_it_once_it_answers(repository, tmp_path, samples):
    manifest = repository / "heads" / HUNG / str(default_of(repository, HUNG)) / "manifest.json"
    disk = Disk(tmp_path, manifest)
    disk.take_away(manifest)
    with start_server(tmp_path / "log", **settings(repository), **disk.environment) as server:
        with Client(server.address) as client:
            assert client.classify(samples / "clock.jpg", head="imagenet").result.labels
            assert HUNG not in {head.name for head in client.list_heads()}
            disk.bring_back(manifest)
            wait_until(lambda: HUNG in {head.name for head in client.list_heads()})
        ends_in_time(server)
    assert f"head {HUNG} is left out: its files have not answered" in server.log


@pytest.mark.slow
def test_a_whole_disk_that_hangs_stops_neither_answers_nor_the_end(repository, tmp_path, samples):
    disk = Disk(tmp_path, repository)
    with start_server(tmp_path / "log", **settings(repository), **disk.environment) as server:
        disk.take_away(repository)
        with Client(server.address) as client:
            wait_until(lambda: "could not be followed" in server.log)
            for _ in range(5):
                assert client.classify(samples / "clock.jpg", head="imagenet", timeout_s=30).result.labels
        ends_in_time(server)
    assert "Traceback" not in server.log


@pytest.mark.parametrize("role", [[], ["backbone"], ["head"], ["--split"]], ids=str)
def test_a_start_that_hangs_is_ended_by_sigterm(role, repository, tmp_path):
    disk = Disk(tmp_path, repository)
    disk.take_away(repository)
    environment = {**os.environ, **settings(repository, TRUNKLINE_TRAINING_JOBS="0"), **disk.environment}
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", *role, "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        wait_until(disk.is_asked)
        process.terminate()
        _, said = process.communicate(timeout=END_S)
    assert process.returncode == 0, said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("file", ["catalog.json", "manifest.json", "model.onnx", "golden.npz", "CARD.md"])
def test_a_fifo_in_place_of_a_file_costs_its_own_head_alone(file, repository, tmp_path, samples):
    folder = repository / "heads" / HUNG
    path = folder / file if file == "catalog.json" else folder / str(default_of(repository, HUNG)) / file
    with start_server(tmp_path / "log", **settings(repository)) as server:
        with Client(server.address) as client, CatalogClient(server.address) as models:
            path.unlink(missing_ok=True)
            os.mkfifo(path)
            name_an_alias(repository, "flowers102", "good")
            wait_until(lambda: is_followed(client, "flowers102", "good"))
            for head in HEADS:
                assert client.analyze(samples / "clock.jpg", [head], timeout_s=30)[head].value() is not None
            assert {model.name for model in models.models()} == set(HEADS)
        ends_in_time(server)


def test_a_card_that_hangs_costs_its_readers_and_no_other_call(repository, tmp_path):
    card = repository / "heads" / HUNG / str(default_of(repository, HUNG)) / "CARD.md"
    disk = Disk(tmp_path, card)
    with start_server(tmp_path / "log", **settings(repository), **disk.environment) as server:
        disk.take_away(card)
        with CatalogClient(server.address, timeout_s=1) as hasty, CatalogClient(server.address) as models:
            for _ in range(8):  # more than asyncio has threads of its own on two cores
                with pytest.raises(ServiceError) as caught:
                    hasty.version(HUNG)
                assert caught.value.code == "DEADLINE_EXCEEDED"
            assert models.version("imagenet")[0].task == "classification"
        ends_in_time(server)
