"""One trunk for several heads: from a plan to heads that answer from one pass; killed, cancelled, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.box_data import coco_folder
from tests.service.crops import class_folders
from tests.service.mask_data import mask_folders
from trunkline.client import AsyncClient
from trunkline.core.repository import Repository
from trunkline.testing import serve
from trunkline.training.evaluation import evaluate_head

OLD = "efficientnet-lite0"
PICTURES = {"train": 8, "val": 2, "test": 4}
PLAN = """\
trunk: small
spec: {width: 128, height: 96, resize: pad}
trained_after: c4
rounds: 6
validations: 2
keep:
  imagenet: {data: photos, share: 4}
heads:
  alike: {task: similarity, mode: pretrained, data: photos, licence: CC0}
  photos: {data: photos, views: 1, epochs: 20, licence: CC0}
  shades: {task: segmentation, data: shades, share: 4, views: 1, epochs: 2, licence: CC-BY-NC-4.0}
  shapes: {task: detection, data: shapes, share: 4, views: 1, epochs: 1, licence: CC0}
"""
TAUGHT = """\
trunk: small
spec: {width: 128, height: 96, resize: pad}
trained_after: c4
rounds: 3
heads:
  alike: {task: similarity, mode: pretrained, data: photos, licence: CC0, teacher: alike}
  photos: {data: photos, views: 1, epochs: 2, licence: CC0, teacher: photos}
  shades: {task: segmentation, mode: transfer, data: shades, share: 4, views: 2, epochs: 1, teacher: shades}
"""
SHORT = """\
trunk: short
spec: {width: 96, height: 96}
trained_after: c4
rounds: 400
checkpoint_minutes: 0.001
heads:
  photos: {data: photos, views: 1, epochs: 2}
"""


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "trunkline.cli.main", *map(str, arguments)]


def run(*arguments, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=300, cwd=cwd)


def contents(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".catalog.lock"}


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    folder = tmp_path_factory.mktemp("sets")
    class_folders(folder / "photos", samples, PICTURES)
    (folder / "shades").mkdir()
    mask_folders(folder / "shades", samples, PICTURES)
    coco_folder(folder / "shapes", samples, PICTURES)
    (folder / "plan.yaml").write_text(PLAN)
    (folder / "short.yaml").write_text(SHORT)
    return folder


def model_folder(folder, models):
    (folder / "backbones").mkdir(parents=True)
    shutil.copytree(models / "backbones" / OLD, folder / "backbones" / OLD)
    shutil.copytree(models / "heads/imagenet", folder / "heads/imagenet")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, models, data):
    """A model folder in which the plan was carried out, and what was said."""
    folder = tmp_path_factory.mktemp("made")
    repository = model_folder(folder / "models", models)
    where = ["--models", repository, "--cache", folder / "cache", "--work", folder / "work"]
    found = run("cotrain", data / "plan.yaml", *where, "--json")
    assert found.returncode == 0, found.stderr
    return folder, json.loads(found.stdout)


@pytest.fixture
def places(tmp_path, models):
    model_folder(tmp_path / "models", models)
    return tmp_path


def test_a_plan_becomes_a_trunk_with_its_heads(made, data):
    folder, said = made
    repository = Repository(folder / "models")
    trunk, before = repository.backbone("small"), repository.backbone(OLD)
    assert (said["backbone"], said["version"]) == ("small", "1")
    assert trunk.manifest.digest != before.manifest.digest
    assert trunk.manifest.features == before.manifest.features
    assert "shades (CC-BY-NC-4.0)" in trunk.manifest.origin.data
    assert "fine-tuned after `c4`" in trunk.card
    assert "trained_after: c4" in trunk.card
    assert (trunk.path / "curves.png").stat().st_size > 10_000
    heads = {each["head"]: repository.head(each["head"], int(each["version"])) for each in said["heads"]}
    assert set(heads) == {"alike", "photos", "shades", "shapes", "imagenet"}
    for head in heads.values():
        assert head.manifest.backbone.digest == trunk.manifest.digest
        assert head.manifest.preprocess == trunk.manifest.preprocess
        assert head.manifest.terms == "non-commercial"  # the strictest of all data
        assert head.manifest.evaluation is not None
    shipped, new = repository.versions("head", "imagenet")
    assert heads["imagenet"].manifest.version == new
    assert 0 < heads["imagenet"].manifest.metrics["same_top1_accuracy"] <= 1
    assert heads["imagenet"].labels == repository.head("imagenet", shipped).labels
    measured = evaluate_head(folder / "models", "photos", data / "photos", "test", lambda done, total: None)
    assert measured["metrics"] == heads["photos"].manifest.metrics
    assert not list((folder / "models").glob(".export-*"))
    assert not any((folder / "work").iterdir())


async def test_all_heads_of_a_trunk_are_answered_from_one_pass(made, photos):
    folder, said = made
    kept = next(f"imagenet/{each['version']}" for each in said["heads"] if each["head"] == "imagenet")
    promoted = run("models", "promote", kept, "--force", "--models", folder / "models")
    assert promoted.returncode == 0, promoted.stderr
    names = [each["head"] for each in said["heads"]]
    async with serve(models=folder / "models") as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        done = await client.analyze(photos[0], names)
    assert [outcome.error for outcome in done.outcomes] == [None] * len(names)
    assert done.backbone_passes == 1


def test_heads_that_are_there_teach_the_next_versions(made, data, tmp_path):
    folder, _ = made
    (tmp_path / "plan.yaml").write_text(TAUGHT)
    where = ["--models", folder / "models", "--cache", folder / "cache", "--work", folder / "work", "--data", data]
    found = run("cotrain", tmp_path / "plan.yaml", *where, "--json")
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    assert (said["backbone"], said["version"]) == ("small", "2")
    assert {each["head"]: each["version"] for each in said["heads"]} == {"alike": "2", "photos": "2", "shades": "2"}
    assert "teacher: shades" in Repository(folder / "models").backbone("small").card
    assert Repository(folder / "models").head("photos").manifest.terms == "research"  # one licence is not stated


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("teacher: shades", "teacher: photos", "heads.shades: 'photos' cannot teach segmentation"),
        ("width: 128", "width: 160", "heads.shades: teacher 'shades' sees pictures of 128x96, the plan has 160x96"),
        ("teacher: photos", "teacher: imagenet", "heads.photos: teacher 'imagenet' has other classes than the data"),
        ("teacher: photos", "teacher: nobody", "there is no head 'nobody'"),
    ],
)
def test_a_head_that_cannot_teach_says_why(made, data, tmp_path, old, new, says):
    folder, _ = made
    (tmp_path / "plan.yaml").write_text(TAUGHT.replace(old, new))
    where = ["--models", folder / "models", "--cache", folder / "cache", "--work", tmp_path, "--data", data]
    found = run("cotrain", tmp_path / "plan.yaml", *where)
    assert found.returncode == 1
    assert says in found.stderr


def started(data, places):
    """A run of the short plan, at a time when it has a checkpoint and is not done."""
    where = ["--models", places / "models", "--cache", places / "cache", "--work", places / "work"]
    process = subprocess.Popen(
        command("cotrain", data / "short.yaml", *where),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TRUNKLINE_MODELS": str(places / "models")},
    )
    until = time.monotonic() + 120
    while not list(places.rglob("joint.ckpt")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    return process, where


def round_of(places) -> int:
    from trunkline.training.cotrain.joint import read_checkpoint

    (file,) = places.rglob("joint.ckpt")
    return int(read_checkpoint(file.parent)["round"])


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(data, places):
    before = contents(places / "models")
    process, where = started(data, places)
    process.kill()
    process.communicate(timeout=60)
    assert contents(places / "models") == before
    assert 0 < round_of(places) < 400
    again = run("cotrain", data / "short.yaml", *where)
    assert again.returncode == 0, again.stderr
    assert "promote them with: trunkline models promote photos/1" in again.stdout
    trunk = Repository(places / "models").backbone("short")
    assert Repository(places / "models").head("photos").manifest.backbone.digest == trunk.manifest.digest


def test_a_cancelled_run_says_how_to_go_on_and_leaves_nothing_half_written(data, places):
    before = contents(places / "models")
    process, where = started(data, places)
    other = run("cotrain", data / "short.yaml", *where)
    assert (other.returncode, "another process trains this plan" in other.stderr) == (1, True)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopped: nothing is published, and the same command goes on from the last checkpoint" in said
    assert "Traceback" not in said
    assert contents(places / "models") == before
    assert round_of(places) > 0


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("data: photos, views: 1", "data: nowhere, views: 1", "nowhere"),
        ("task: segmentation, data: shades", "task: segmentation, data: photos", "no masks"),
        ("backbone", "backbone", "there is no backbone 'third'"),
        ("imagenet: {", "nobody: {", "there is no head 'nobody'"),
        ("rounds: 6", "round: 6", "plan.yaml, line 4: round: there is no such key; did you mean rounds?"),
        ("spec: {width: 128, height: 96, resize: pad}", "like: nobody", "there is no head 'nobody'"),
        ("trained_after: c4", "trained_after: c9", "the backbone has no feature 'c9'"),
        ("task: detection", "task: dancing", "task 'dancing' cannot be trained"),
    ],
)
def test_a_faulty_plan_ends_at_once_with_what_to_do(data, places, old, new, says):
    text = PLAN.replace("trunk: small", "trunk: small\nbackbone: third") if old == new else PLAN.replace(old, new, 1)
    (places / "plan.yaml").write_text(text)
    before = contents(places / "models")
    where = ["--models", places / "models", "--cache", places / "cache", "--work", places / "work", "--data", data]
    found = run("cotrain", places / "plan.yaml", *where)
    assert found.returncode == 1
    assert says in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert contents(places / "models") == before


def test_a_plan_is_looked_at_without_being_carried_out(data, places):
    found = run("cotrain", data / "plan.yaml", "--models", places / "models", "--check", "--json", cwd=places)
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    assert (said["trunk"], said["backbone"], said["keep"]) == ("small", f"{OLD}/1", ["imagenet"])
    assert {each["head"]: each["pictures"] for each in said["heads"]}["shades"] == 14
    assert not (places / "out").exists()
