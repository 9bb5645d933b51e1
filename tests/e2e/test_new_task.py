"""A task in a folder outside of the package is as good as any: what docs/develop/add-a-task.md says, done.

The folder is tests/e2e/glow. Nothing else knows its name.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, start_server
from tests.service.bundles import linked_repository

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")
pytestmark = pytest.mark.slow
FOLDER = Path(__file__).with_name("glow")
FILES = {"__init__.py", "task.py", "head.py", "README.md", "measure.py", "learn.py"}


def run(heads: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trunkline.cli.main", *map(str, arguments)]
    environment = {**os.environ, "TRUNKLINE_HEADS_PATH": str(heads)}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=environment)


def document(done: subprocess.CompletedProcess[str]):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def heads(tmp_path_factory) -> Path:
    """A folder of tasks, with glow alone."""
    folder = tmp_path_factory.mktemp("tasks")
    shutil.copytree(FOLDER, folder / "glow", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Gray pictures with some noise, and how bright each is."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(7)
    lines = ["file,level,split"]
    for number in range(48):
        level = number / 47
        pixels = np.clip(255 * level + random.normal(0, 8, (64, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{level:.4f},{'test' if number % 4 == 0 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(heads, data, models, tmp_path_factory) -> Path:
    """A repository in which it was trained."""
    folder = tmp_path_factory.mktemp("repository")
    repository = linked_repository(models, folder)
    options = ["--task", "glow", "--spread", 0.5, "--data", data, "--name", "glow"]
    fitting = ["--epochs", 40, "--rate", 1e-4, "--dropout", 0, "--width", 64]
    where = ["--models", repository, "--cache", folder / "cache"]
    made = document(run(heads, "train", *options, *fitting, *where, "--json"))
    assert made["metrics"]["off"] < 0.15, "it learned nothing: the mean alone is off by 0.25"
    card = (Path(made["path"]) / "CARD.md").read_text()
    assert "--task glow" in card
    assert "--spread 0.5" in card
    return repository


def test_its_folder_is_all_it_takes():
    assert {path.name for path in FOLDER.iterdir() if path.name != "__pycache__"} == FILES
    named = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--include=*.py", "--word-regexp", "glow", "services"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert named.stdout == ""


def test_it_has_a_command_with_its_parameters(heads):
    told = run(heads, "glow", "--help").stdout
    assert "Say how bright pictures are." in told
    assert "--threshold" in told
    assert "--spread" in run(heads, "train", "--help").stdout
    assert "glow" not in run(heads / "glow", "--help").stdout, "it is there without its folder"


def test_wrong_values_are_refused_by_name(heads, trained, data):
    done = run(heads, "train", "--task", "glow", "--spread", 7, "--data", data, "--name", "x", "--models", trained)
    assert done.returncode == 1
    assert "'spread'" in done.stderr


def test_it_is_measured_and_gated(heads, trained, data):
    found = document(run(heads, "evaluate", "--head", "glow", "--data", data, "--models", trained, "--json"))
    assert found["count"] == 12
    assert 0 <= found["metrics"]["off"] < 0.15
    first = trained / "heads/glow/1"
    shutil.copytree(first, trained / "heads/glow/2")
    path = trained / "heads/glow/2/manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"version": 2, "metrics": {"off": 2 * manifest["metrics"]["off"]}}))
    try:
        refused = run(heads, "models", "promote", "glow", 2, "--models", trained)
        assert refused.returncode == 1
        assert "glow/2 has off " in refused.stderr
    finally:
        shutil.rmtree(trained / "heads/glow/2")


@pytest.mark.parametrize("form", [[], ["--split"]], ids=["all in one", "split"])
def test_it_is_asked_like_any_other(heads, trained, data, tmp_path, form):
    environment = {"TRUNKLINE_HEADS_PATH": str(heads), "TRUNKLINE_MODELS": str(trained)}
    with start_server(tmp_path / "log", *form, **environment) as service:
        target = ["--target", service.address]
        bright, dark = data / "46.png", data / "2.png"
        answers = document(run(heads, "glow", bright, dark, *target, "--json"))
        assert [each["word"] for each in answers] == ["bright", "dark"]
        assert answers[0]["level"] > 0.7
        (strict,) = document(run(heads, "glow", bright, "--threshold", 1.0, *target, "--json"))
        assert strict["word"] == "dark"
        drawn = tmp_path / "drawn.png"
        shown = run(heads, "glow", bright, *target, "--draw", drawn)
        assert "bright" in shown.stdout
        with Image.open(drawn) as picture:
            assert picture.getpixel((picture.width // 2, 1)) == (255, 255, 255)
        (both,) = document(run(heads, "analyze", bright, "--head", "glow", "--head", "imagenet", *target, "--json"))
        assert both["outcomes"][0]["custom"]["word"] == "bright"
        assert "classification" in both["outcomes"][1]
        served = run(heads, "evaluate", "--head", "glow", "--data", data, "--split", "test", *target, "--json")
        assert document(served)["metrics"]["off"] < 0.15
        refused = run(heads, "classify", bright, "--head", "glow", *target)
        assert "here: trunkline glow" in refused.stderr
