"""The mirror of a model repository at a URL, over real fsspec file systems: memory:// and file://."""

import json
import logging
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.unit.bundles import backbone_manifest, write_bundle
from tests.unit.test_publishing import built
from trunkline.catalog.catalog import Catalog
from trunkline.core.bundle import BackboneManifest
from trunkline.core.catalog import current_catalog
from trunkline.core.errors import ConfigurationError, InvalidRequestError, ModelInvalidError, StorageError
from trunkline.core.repository import Repository
from trunkline.serving.store.opening import open_models
from trunkline.serving.store.remote import RemoteObjects
from trunkline.serving.store.store import RemoteStore

fsspec = pytest.importorskip("fsspec", reason="needs the s3 extra: pip install -e '.[s3]'")


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    return f"memory://{uuid.uuid4().hex}/models" if request.param == "memory" else f"file://{tmp_path}/bucket/models"


@pytest.fixture
def files(url):
    """The file system and its root."""
    return fsspec.core.url_to_fs(url, **({"auto_mkdir": True} if url.startswith("file:") else {}))


@pytest.fixture
def store(url, tmp_path) -> RemoteStore:
    return RemoteStore(url, tmp_path / "here")


@pytest.fixture
def elsewhere(url, tmp_path) -> RemoteStore:
    """Another machine."""
    return RemoteStore(url, tmp_path / "there")


def publish(store: RemoteStore, folder: Path, name: str = "dots") -> int:
    return int(store.publish([built(folder, name)])[0].name)


def whole_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_what_is_published_is_seen_elsewhere_byte_for_byte_and_is_no_default(store, elsewhere, tmp_path):
    assert [publish(store, tmp_path / f"run-{number}") for number in range(2)] == [1, 2]
    elsewhere.pull()
    for version in (1, 2):
        here, there = (each.root / f"heads/dots/{version}" for each in (store, elsewhere))
        assert whole_files(here) == whole_files(there)
        assert len(whole_files(there)) == 5
    assert Repository(elsewhere.root).head("dots", 2).manifest.version == 2
    assert current_catalog(elsewhere.root, "dots").default == 1
    assert current_catalog(store.root, "dots").default == 1


def test_a_backbone_is_published_with_its_head_or_not_at_all(store, elsewhere, tmp_path):
    backbone = write_bundle(tmp_path / "backbone", backbone_manifest())
    manifest = BackboneManifest.model_validate(backbone_manifest())
    store.publish([(backbone, manifest), built(tmp_path / "head")])
    again = write_bundle(tmp_path / "again", backbone_manifest())
    with pytest.raises(InvalidRequestError, match="backbone tiny version 1 exists"):
        store.publish([(again, manifest), built(tmp_path / "second")])
    elsewhere.pull()
    assert Repository(elsewhere.root).versions("backbone", "tiny") == [1]
    assert Repository(elsewhere.root).versions("head", "dots") == [1]


def test_changes_of_the_catalog_go_through_the_store(store, elsewhere, tmp_path):
    for number in range(2):
        publish(store, tmp_path / f"run-{number}")
    there = Catalog(elsewhere.root, elsewhere.change_catalog)
    assert there.promote("dots", 2, force=True).catalog.revision == 1
    here = Catalog(store.root, store.change_catalog)
    assert here.set_alias("dots", "stable", 1).catalog.default == 2, "a change elsewhere is seen before one here"
    elsewhere.pull()
    assert there.model("dots").catalog.aliases == {"stable": 1}
    assert there.rollback("dots").catalog.default == 1


def test_a_version_without_its_manifest_is_not_seen(store, files, tmp_path):
    publish(store, tmp_path / "run")
    remote, root = files
    folder = built(tmp_path / "second", version=2)[0]
    for file in sorted(folder.iterdir()):
        if file.name != "manifest.json":
            remote.pipe_file(f"{root}/heads/dots/2/{file.name}", file.read_bytes())
    store.pull()
    assert Repository(store.root).versions("head", "dots") == [1]
    remote.pipe_file(f"{root}/heads/dots/2/manifest.json", (folder / "manifest.json").read_bytes())
    store.pull()
    assert Repository(store.root).versions("head", "dots") == [1, 2]


def test_a_damaged_version_is_left_out_until_it_is_mended(store, files, tmp_path, caplog):
    publish(store, tmp_path / "run")
    remote, root = files
    folder = built(tmp_path / "second", version=2)[0]
    for file in folder.iterdir():
        content = file.read_bytes()[:9] if file.name == "model.onnx" else file.read_bytes()
        remote.pipe_file(f"{root}/heads/dots/2/{file.name}", content)
    for _ in range(3):
        store.pull()
    assert Repository(store.root).versions("head", "dots") == [1]
    assert caplog.text.count("heads/dots/2") == 1, "said once"
    remote.pipe_file(f"{root}/heads/dots/2/model.onnx", (folder / "model.onnx").read_bytes())
    store.pull()
    Repository(store.root).head("dots", 2).read_model()


def test_what_is_deleted_disappears_but_an_empty_listing_is_no_deletion(store, elsewhere, files, tmp_path):
    for number in range(2):
        publish(store, tmp_path / f"run-{number}")
    elsewhere.pull()
    remote, root = files
    remote.rm(f"{root}/heads/dots/2", recursive=True)
    elsewhere.pull()
    assert Repository(elsewhere.root).versions("head", "dots") == [1]
    remote.rm(f"{root}/heads/dots/1", recursive=True)
    with pytest.raises(StorageError, match="has no models"):
        elsewhere.pull()
    assert Repository(elsewhere.root).versions("head", "dots") == [1]
    assert not list(elsewhere.root.glob(".export-*"))


def test_a_failed_upload_leaves_no_version_and_its_number_is_not_used_again(
    store, elsewhere, files, tmp_path, monkeypatch
):
    publish(store, tmp_path / "run")
    remote, _ = files
    put = type(remote).put_file

    def fails(self, local, path, **options):
        if path.endswith("model.onnx"):
            raise ConnectionError("cut")
        return put(self, local, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(remote), "put_file", fails)
        with pytest.raises(StorageError, match="ConnectionError") as caught:
            publish(store, tmp_path / "second")
    assert "cut" not in caught.value.message
    elsewhere.pull()
    assert Repository(elsewhere.root).versions("head", "dots") == [1]
    assert Repository(store.root).versions("head", "dots") == [1]
    assert publish(store, tmp_path / "third") == 3


def test_a_catalog_that_is_damaged_stays_so_in_the_mirror(store, files, tmp_path):
    publish(store, tmp_path / "run")
    remote, root = files
    remote.pipe_file(f"{root}/heads/dots/catalog.json", b"{")
    store.pull()
    with pytest.raises(ModelInvalidError, match=r"catalog\.json"):
        current_catalog(store.root, "dots")
    with pytest.raises(ModelInvalidError, match=r"catalog\.json"):
        store.change_catalog("dots", lambda state: state)
    remote.rm_file(f"{root}/heads/dots/catalog.json")
    store.pull()
    assert current_catalog(store.root, "dots").default == 1


def test_a_store_that_is_away_at_the_start_is_a_warning_where_there_are_models(tmp_path, caplog):
    bucket = tmp_path / "bucket"
    publish(RemoteStore(f"file://{bucket}", tmp_path / "mine"), tmp_path / "run")
    opened = open_models(f"file://{bucket}", tmp_path / "cache")
    shutil.move(bucket, tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        again = open_models(f"file://{bucket}", tmp_path / "cache")
    assert again.root == opened.root
    assert Repository(again.root).versions("head", "dots") == [1]
    assert "continuing with the previous state" in caplog.text


def test_the_age_of_a_version_is_that_of_its_publication(store, elsewhere, url, tmp_path):
    publish(store, tmp_path / "run")
    elsewhere.pull()
    remote = RemoteObjects(url).list()["heads/dots/1/manifest.json"].modified
    assert (elsewhere.root / "heads/dots/1/manifest.json").stat().st_mtime == pytest.approx(remote, abs=0.01)


@pytest.mark.parametrize("url", ["nothing://here", "s4://bucket"])
def test_a_url_of_no_known_kind_says_what_to_write(url, tmp_path):
    with pytest.raises(ConfigurationError, match=r"no such kind of store.*s3://BUCKET/PREFIX"):
        open_models(url, tmp_path)


def test_secrets_in_a_url_are_never_shown(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        open_models("nothing://user:secret@host/models", tmp_path)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("missing", ["fsspec", "s3fs"])
def test_a_url_without_the_extra_is_one_line_that_names_it(missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from trunkline.cli.main import main"
    code += "; sys.argv = ['trunkline', 'models', 'list', '--models', 's3://bucket/models']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "pip install 'trunkline[cpu,s3]'" in done.stderr


def test_a_folder_needs_no_fsspec(models):
    code = "import sys; sys.modules['fsspec'] = None; from trunkline.cli.main import main"
    code += f"; sys.argv = ['trunkline', 'models', 'list', '--json', '--models', {str(models)!r}]; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "imagenet" in {row["name"] for row in json.loads(done.stdout)}
