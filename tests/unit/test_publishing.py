"""Publishing into a folder: whole, under a number of its own, whoever else publishes at the same moment."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tests.unit.bundles import backbone_manifest, head_manifest, write_bundle
from trunkline.core.bundle import BackboneManifest, HeadManifest
from trunkline.core.catalog import current_catalog
from trunkline.core.errors import InvalidRequestError
from trunkline.core.publishing import move_into_place
from trunkline.core.repository import Repository


def built(folder: Path, name: str = "dots", version: int = 1) -> tuple[Path, HeadManifest]:
    manifest = HeadManifest.model_validate(head_manifest(name, version))
    write_bundle(folder, head_manifest(name, version))
    (folder / "CARD.md").write_text(f"# {name}, version {version}\n\nBuilt in {folder.name}.\n")
    return folder, manifest


def test_those_who_publish_at_the_same_moment_get_versions_of_their_own(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    bundles = [built(tmp_path / f"run-{number}") for number in range(6)]  # all were built as version 1
    start = Barrier(len(bundles))

    def publish(bundle: tuple[Path, HeadManifest]) -> Path:
        start.wait()
        return move_into_place(models, [bundle])[0]

    with ThreadPoolExecutor(len(bundles)) as pool:
        folders = list(pool.map(publish, bundles))
    assert sorted(folder.name for folder in folders) == ["1", "2", "3", "4", "5", "6"]
    repository = Repository(models)
    for number, folder in enumerate(folders):
        bundle = repository.head("dots", int(folder.name))
        bundle.read_model()
        assert (folder / "CARD.md").read_text() == f"# dots, version {folder.name}\n\nBuilt in run-{number}.\n"
    assert current_catalog(models, "dots").default == 1


def test_a_version_of_a_backbone_that_is_taken_is_refused_and_nothing_is_left(tmp_path):
    models = tmp_path / "models"
    write_bundle(models / "backbones/tiny/1", backbone_manifest())
    before = (models / "backbones/tiny/1/manifest.json").read_bytes()
    second = write_bundle(tmp_path / "aside", {**backbone_manifest(), "architecture": "another"})
    manifest = BackboneManifest.model_validate(json.loads((second / "manifest.json").read_text()))
    head = built(tmp_path / "head")
    with pytest.raises(InvalidRequestError, match="version 1 exists"):
        move_into_place(models, [head, (second, manifest)])
    assert (models / "backbones/tiny/1/manifest.json").read_bytes() == before
    assert Repository(models).names("head") == []
    assert head[0].is_dir()
