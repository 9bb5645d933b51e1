"""Heads made again on another backbone: by their cards, from the same data, going on where they were interrupted."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.crops import class_folders
from trunkline.core.bundle import MANIFEST_FILE, BackboneManifest, model_digest
from trunkline.core.publishing import manifest_text
from trunkline.core.repository import Repository
from trunkline.training.evaluation import evaluate_head

OLD, NEW = "efficientnet-lite0", "second"


def run(*arguments, cwd=None, timeout=300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trunkline.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, cwd=cwd)


def second_backbone(models, shipped) -> BackboneManifest:
    """The shipped backbone with one weight changed: another digest, and features that differ."""
    import onnx
    from onnx import numpy_helper

    source = Repository(shipped).backbone(OLD)
    model = onnx.load_from_string(source.read_model())
    weight = next(each for each in model.graph.initializer if each.name.endswith("conv_head.weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 0.999, weight.name))
    data = model.SerializeToString()
    folder = models / "backbones" / NEW / "1"
    shutil.copytree(source.path, folder)
    (folder / "model.onnx").write_bytes(data)
    changes = {"name": NEW, "version": 1, "digest": model_digest(data), "golden_tolerance": 0.05}
    manifest = source.manifest.model_copy(update=changes)
    (folder / MANIFEST_FILE).write_text(manifest_text(manifest))
    return manifest


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("sets") / "photos", samples)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, models, data):
    """A model folder with a second backbone, and heads on the first: learned, as the backbone came, and on pixels."""
    folder = tmp_path_factory.mktemp("places")
    repository = folder / "models"
    (repository / "backbones").mkdir(parents=True)
    shutil.copytree(models / "backbones" / OLD, repository / "backbones" / OLD)
    shutil.copytree(models / "heads/imagenet", repository / "heads/imagenet")
    second_backbone(repository, models)
    common = ["--data", data, "--models", repository, "--cache", folder / "cache", "--seed", 4, "--licence", "CC0"]
    for name, options in {
        "photos": ["--width", 96, "--views", 1, "--epochs", 200],
        "pixels": ["--mode", "scratch", "--net", "cnn", "--width", 32, "--epochs", 2],
    }.items():
        made = run("train", "--name", name, *options, *common)
        assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def places(trained, tmp_path):
    """A copy, to be changed."""
    shutil.copytree(trained / "models", tmp_path / "models")
    return tmp_path


def test_a_head_is_made_again_as_its_card_says(places, data):
    made = run(
        "train", "--again", "photos", "--backbone", NEW, "--data", data, "--models", places / "models",
        "--cache", places / "c", "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["version"] == "2"
    repository = Repository(places / "models")
    first, second = repository.head("photos", 1).manifest, repository.head("photos", 2).manifest
    assert second.backbone.name == NEW
    assert (second.preprocess, second.features, second.mode) == (first.preprocess, first.features, first.mode)
    assert (second.evaluation, second.learned_from) == (first.evaluation, first.learned_from)
    assert second.origin.licence == "CC0"
    assert "--seed 4" in repository.head("photos", 2).card
    assert f"--backbone {NEW}" in repository.head("photos", 2).card


def test_other_data_is_refused_unless_it_may_differ(places, data):
    other = places / "photos"
    shutil.copytree(data, other)
    (other / "train/coffee/0.jpg").write_bytes((other / "train/coffee/1.jpg").read_bytes())
    arguments = ["train", "--again", "photos", "--backbone", NEW, "--data", other, "--models", places / "models"]
    arguments += ["--cache", places / "c"]
    refused = run(*arguments)
    assert refused.returncode == 1
    assert "photos/1 was learned from other data: 24 pictures of photos (train)" in refused.stderr
    assert "--changed-data" in refused.stderr
    assert Repository(places / "models").versions("head", "photos") == [1]
    assert run(*arguments, "--changed-data").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["train", "--again", "photos", "--backbone", NEW, "--epochs", 3], 2, "takes --epochs from the card"),
        (["train", "--again", "photos", "--backbone", NEW], 1, "a folder photos: say where it is with --data"),
        (["train", "--again", "imagenet", "--backbone", NEW], 1, "comes with the new one too"),
        (["train", "--again", "nobody", "--backbone", NEW], 1, "no head 'nobody'"),
        (["train", "--again", "photos", "--backbone", "third", "--data", "."], 1, "no backbone 'third'"),
        (["train", "--name", "photos"], 2, "needs --data DIR and --name NAME"),
        (["backbone", "move", OLD, OLD], 1, "are the same backbone"),
        (["backbone", "move", OLD, NEW], 1, "the data of 1 heads is not there"),
        (["backbone", "move", OLD, NEW, "--head", "nobody"], 1, "no head 'nobody'"),
    ],
)
def test_what_cannot_be_made_again_says_what_to_do(trained, tmp_path, arguments, status, says):
    found = run(*arguments, "--models", trained / "models", cwd=tmp_path)
    assert found.returncode == status
    assert says in " ".join(found.stderr.replace("│", " ").split())


def test_all_heads_of_a_backbone_move_and_are_switched_at_once(places, data):
    models = places / "models"
    where = ["--models", models, "--cache", places / "c", "--work", places / "work", "--data", data.parent]
    planned = run("backbone", "move", OLD, NEW, "--plan", "--json", *where)
    assert {each["head"]: each["how"] for each in json.loads(planned.stdout)["heads"]} == {
        "imagenet": "left",
        "photos": "train",
        "pixels": "carry",
    }
    assert Repository(models).versions("head", "photos") == [1]
    moved = run("backbone", "move", OLD, NEW, *where)
    assert moved.returncode == 0, moved.stderr
    assert "trunkline models promote photos/2 pixels/2" in moved.stdout
    repository = Repository(models)
    assert repository.head("pixels", 2).read_model() == repository.head("pixels", 1).read_model()
    assert repository.head("pixels", 2).manifest.metrics == repository.head("pixels", 1).manifest.metrics
    assert "## Carried over" in repository.head("pixels", 2).card
    again = run("backbone", "move", OLD, NEW, "--json", *where)
    assert {each["how"] for each in json.loads(again.stdout)["heads"]} == {"left", "done"}
    assert repository.versions("head", "photos") == [1, 2]
    promoted = run("models", "promote", "photos", "pixels/2", "--margin", 0.5, "--json", "--models", models)
    assert [each["default"] for each in json.loads(promoted.stdout)["models"]] == [2, 2], promoted.stderr
    found = evaluate_head(models, "photos", data, "test", lambda done, total: None)
    assert found["metrics"] == repository.head("photos", 2).manifest.metrics


def test_a_move_that_was_interrupted_goes_on(places, data):
    models, folder = places / "models", places / "work"
    command = [sys.executable, "-m", "trunkline.cli.main", "backbone", "move", OLD, NEW]
    command += ["--models", models, "--cache", places / "c", "--work", folder, "--data", data.parent]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not any(folder.rglob("*.ckpt")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said  # 0: the head, seconds from its end at the signal, was learned before
    assert Repository(models).versions("head", "photos") == [1]
    assert not list(models.glob(".export-*"))
    moved = run(*command[3:])
    assert moved.returncode == 0, moved.stderr
    assert Repository(models).versions("head", "photos") == [1, 2]
    assert not any(folder.iterdir())


def test_what_fails_stops_no_other_head(places, data):
    models = places / "models"
    other = places / "photos"
    shutil.copytree(data, other)
    shutil.rmtree(other / "test")
    moved = run(
        "backbone", "move", OLD, NEW, "--models", models, "--data", f"photos={other}", "--work", places / "w",
        "--cache", places / "c", "--json",
    )  # fmt: skip
    assert moved.returncode == 1
    heads = {each["head"]: each for each in json.loads(moved.stdout)["heads"]}
    assert "nothing to evaluate on" in heads["photos"]["fault"] or "other data" in heads["photos"]["fault"]
    assert heads["pixels"]["after"]["version"] == 2
