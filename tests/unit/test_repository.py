"""The folder of models is listed, and what is not there is said together with what is."""

import json

import pytest

from tests.unit.bundles import backbone_manifest, head_manifest, write_bundle
from trunkline.core.errors import ConfigurationError, ModelInvalidError, NotFoundError
from trunkline.core.repository import Repository


@pytest.fixture
def repository(tmp_path) -> Repository:
    write_bundle(tmp_path / "backbones/tiny/1", backbone_manifest())
    for version in (1, 2, 10):
        write_bundle(tmp_path / f"heads/dots/{version}", head_manifest(version=version))
    write_bundle(tmp_path / "heads/bars/3", head_manifest("bars", 3))
    return Repository(tmp_path)


def test_models_and_versions_are_listed_in_order(repository):
    assert repository.names("backbone") == ["tiny"]
    assert repository.names("head") == ["bars", "dots"]
    assert repository.versions("head", "dots") == [1, 2, 10]
    assert repository.versions("head", "nothing") == []


def test_the_highest_version_is_read_unless_one_is_named(repository):
    assert repository.head("dots").manifest.version == 10
    assert repository.head("dots", 2).manifest.version == 2
    assert repository.backbone("tiny").manifest.name == "tiny"


def test_an_empty_folder_has_no_models(tmp_path):
    assert Repository(tmp_path).names("head") == []
    assert Repository(tmp_path).names("backbone") == []


def test_a_folder_that_does_not_exist_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no model folder .*/none: name one with --models DIR"):
        Repository(tmp_path / "none")


def test_a_bundle_that_is_being_written_is_not_seen(repository):
    (repository.root / "heads/dots/11").mkdir()
    (repository.root / "heads/fresh/1").mkdir(parents=True)
    assert repository.versions("head", "dots") == [1, 2, 10]
    assert repository.names("head") == ["bars", "dots"]


@pytest.mark.parametrize("folder", ["01", "0", "-1", "1.5", "latest", "²", "٣", "2.tmp", "9" * 19])
def test_a_folder_that_is_no_version_is_not_seen(repository, folder):
    write_bundle(repository.root / "heads/dots" / folder, head_manifest())
    assert repository.versions("head", "dots") == [1, 2, 10]


def test_files_beside_the_models_do_not_matter(repository):
    (repository.root / "heads/README.md").write_text("x")
    (repository.root / "heads/dots/notes").write_text("x")
    write_bundle(repository.root / "heads/.trash/1", head_manifest())
    assert repository.names("head") == ["bars", "dots"]


def test_an_unknown_model_is_named_with_those_that_are_known(repository):
    with pytest.raises(NotFoundError, match=r"there is no head 'dogs' in .*; known: bars, dots") as caught:
        repository.head("dogs")
    assert caught.value.metadata == {"name": "dogs"}
    with pytest.raises(NotFoundError, match=r"there is no backbone 'huge' in .*; known: tiny"):
        repository.backbone("huge")


def test_where_nothing_is_known_it_says_none(tmp_path):
    with pytest.raises(NotFoundError, match="known: none"):
        Repository(tmp_path).head("dots")


@pytest.mark.parametrize("version", [0, 3, -1])
def test_an_unknown_version_is_named_with_those_that_are_known(repository, version):
    with pytest.raises(NotFoundError, match=rf"head 'dots' has no version {version}; known: \[1, 2, 10\]"):
        repository.head("dots", version)


@pytest.mark.parametrize("name", ["../backbones/tiny", "..", "", ".", "/etc", "dots/../bars", "dots\n"])
def test_a_name_is_never_a_path(repository, name):
    with pytest.raises(NotFoundError):
        repository.head(name)


def test_a_bundle_in_the_wrong_folder_is_refused(repository):
    write_bundle(repository.root / "heads/tiny/1", backbone_manifest())
    write_bundle(repository.root / "backbones/dots/1", head_manifest())
    with pytest.raises(ModelInvalidError, match="is not a head"):
        repository.head("tiny")
    with pytest.raises(ModelInvalidError, match="is not a backbone"):
        repository.backbone("dots")


@pytest.mark.parametrize(("folder", "version"), [("dots/3", 3), ("copy/10", 10)])
def test_a_folder_copied_without_its_manifest_is_refused(repository, folder, version):
    write_bundle(repository.root / "heads" / folder, head_manifest("dots", 10) if version == 10 else head_manifest())
    with pytest.raises(ModelInvalidError, match=r"is of 'dots' version .*copied or renamed"):
        repository.head(folder.split("/")[0], version)


def test_models_may_be_links(repository, tmp_path):
    (repository.root / "heads/linked").symlink_to(repository.root / "heads/bars")
    assert repository.names("head") == ["bars", "dots", "linked"]


def test_a_broken_manifest_costs_only_its_own_model(repository):
    (repository.root / "heads/bars/3/manifest.json").write_text("{")
    assert repository.names("head") == ["bars", "dots"]
    assert json.loads((repository.head("dots").path / "manifest.json").read_text())["name"] == "dots"
    with pytest.raises(ModelInvalidError):
        repository.head("bars")
