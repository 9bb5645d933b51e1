"""Models in an object store: real processes against a real server that speaks S3, on loopback."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conftest import start_server
from tests.e2e.test_lifecycle import wait_until
from tests.service.crops import CLASSES, class_folders
from tests.service.versions import BACKBONE, write_version
from tests.unit.test_publishing import built
from trunkline.catalog.catalog import Catalog
from trunkline.cli.main import app
from trunkline.client import Client
from trunkline.core.catalog import current_catalog
from trunkline.core.repository import Repository

pytest.importorskip("s3fs", reason="needs the s3 extra: pip install -e '.[s3]'")

from trunkline.serving.store.store import RemoteStore

QUICK = {"TRUNKLINE_CATALOG_POLL_S": "0.2", "TRUNKLINE_REFRESH_S": "0.2"}


class Bucket:
    """A model repository in S3, and a machine that works on it."""

    def __init__(self, s3, folder: Path):
        self.s3 = s3
        self.url = f"s3://{s3.new_bucket()}/models"
        self.folder = folder
        self.files = s3.files()
        self.root = self.url.removeprefix("s3://")

    def environment(self, machine: str) -> dict[str, str]:
        return {**self.s3.environment, **QUICK, "TRUNKLINE_MODELS_CACHE": str(self.folder / machine)}

    def command(self, *arguments: str) -> Any:
        """What a command of this machine prints, in this process: torch takes long to import."""
        done = CliRunner().invoke(app, [*arguments, "--models", self.url, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def upload(self, folder: Path, path: str, leave_out: str = "") -> None:
        for file in sorted(folder.iterdir()):
            if file.name != leave_out:
                self.files.put_file(str(file), f"{self.root}/{path}/{file.name}")


@pytest.fixture
def empty(s3, tmp_path) -> Bucket:
    return Bucket(s3, tmp_path)


@pytest.fixture
def bucket(empty, models) -> Bucket:
    """With the shipped backbone, uploaded file by file as a person would."""
    empty.upload(models / f"backbones/{BACKBONE}/1", f"backbones/{BACKBONE}/1")
    return empty


@pytest.fixture
def here(s3, monkeypatch) -> None:
    """This process speaks to the server, too."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)


def test_a_head_is_trained_into_the_store_served_from_it_and_changed_there(
    bucket, here, samples, tmp_path, monkeypatch
):
    pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")
    monkeypatch.setenv("TRUNKLINE_MODELS_CACHE", str(tmp_path / "desk"))
    data = class_folders(tmp_path / "data", samples, {"train": 4, "test": 2})
    photo = data / "test/coffee/0.jpg"

    def learn() -> dict:
        options = ("--width", "64", "--epochs", "2", "--cache", str(tmp_path / "cache"))
        return bucket.command("train", "--data", str(data), "--name", "photos", *options)

    with (
        start_server(tmp_path / "log", "--models", bucket.url, **bucket.environment("server")) as server,
        Client(server.address) as client,
    ):
        made = learn()
        assert (made["head"], made["version"]) == ("photos", "1")
        wait_until(lambda: "photos" in {head.name for head in client.list_heads()})
        assert client.classify(photo, head="photos").result.labels[0].label in CLASSES
        assert learn()["version"] == "2"
        # One that is being uploaded: without its manifest it is no version.
        bucket.upload(next((tmp_path / "desk").glob("*/heads/photos/2")), "heads/photos/7", leave_out="manifest.json")
        wait_until(lambda: "photos/2 came from" in server.log)
        rows = {row["name"]: row for row in bucket.command("models", "list")}
        assert rows["photos"]["versions"] == ["1", "2"]
        assert rows["photos"]["default"] == "1"
        assert client.classify(photo, head="photos").version == "1"
        assert bucket.command("models", "promote", "photos", "2", "--margin", "1")["default"] == 2
        wait_until(lambda: client.classify(photo, head="photos").version == "2")
        assert bucket.command("models", "rollback", "photos")["default"] == 1
        wait_until(lambda: client.classify(photo, head="photos").version == "1")
        found = bucket.command("evaluate", "--head", "photos", "--data", str(data))
        assert (found["version"], found["count"]) == ("1", 6)
    assert "photos/7" not in server.log


def test_serving_outlives_the_store_and_follows_it_again(bucket, models, photos, tmp_path, s3, here):
    made = tmp_path / "made"
    (made / "backbones").mkdir(parents=True)
    (made / f"backbones/{BACKBONE}").symlink_to(models / f"backbones/{BACKBONE}")
    bucket.upload(write_version(made, "dots", 1), "heads/dots/1")
    store = RemoteStore(bucket.url, tmp_path / "desk")
    with (
        start_server(tmp_path / "log", "--split", "--models", bucket.url, **bucket.environment("server")) as server,
        Client(server.address) as client,
    ):
        with s3.away(bucket.root.partition("/")[0]):
            wait_until(lambda: "continuing with the previous state" in server.log)
            for photo in photos * 3:
                assert client.classify(photo, "dots", timeout_s=30).version == "1"
        folder = write_version(made, "dots", 2)
        store.publish([(folder, Repository(made).head("dots", 2).manifest)])
        store.change_catalog("dots", lambda state: state.promoted(2))
        wait_until(lambda: client.classify(photos[0], "dots").version == "2", timeout_s=60)


def test_those_who_publish_at_the_same_moment_get_versions_of_their_own(empty, tmp_path, here):
    count = 4
    stores = [RemoteStore(empty.url, tmp_path / f"machine-{number}") for number in range(count)]
    bundles = [built(tmp_path / f"run-{number}") for number in range(count)]
    start = Barrier(count)

    def publish(number: int) -> int:
        start.wait()
        return int(stores[number].publish([bundles[number]])[0].name)

    with ThreadPoolExecutor(count) as pool:
        versions = list(pool.map(publish, range(count)))
    assert len(set(versions)) == count
    for store in stores:
        store.pull()
        assert Repository(store.root).versions("head", "dots") == sorted(versions)
        assert current_catalog(store.root, "dots") == current_catalog(stores[0].root, "dots")
    for number, version in enumerate(versions):
        card = (stores[0].root / f"heads/dots/{version}/CARD.md").read_text()
        assert card == f"# dots, version {version}\n\nBuilt in run-{number}.\n"


def test_no_change_of_a_catalog_is_lost_between_machines(empty, tmp_path, here):
    count = 4
    stores = [RemoteStore(empty.url, tmp_path / f"machine-{number}") for number in range(count)]
    stores[0].publish([built(tmp_path / "run")])
    for store in stores:
        store.pull()

    def name(number: int) -> None:
        catalog = Catalog(stores[number].root, stores[number].change_catalog)
        for turn in range(3):
            catalog.set_alias("dots", f"a{number}-{turn}", 1)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(name, range(count)))
    stores[0].pull()
    state = current_catalog(stores[0].root, "dots")
    assert len(state.aliases) == 3 * count
    assert state.revision == 3 * count
