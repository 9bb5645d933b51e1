"""`trunkline train` and `trunkline evaluate` as a person or a script calls them."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.crops import PICTURES, class_folders, linked


def run(*arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trunkline.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("data"), samples)


@pytest.fixture
def repository(tmp_path, models):
    return linked(tmp_path / "models", models)


def test_what_is_trained_can_be_evaluated(data, repository, tmp_path):
    where = ["--models", repository]
    trained = run(
        "train", "--data", data, "--name", "photos", "--width", 96, "--cache", tmp_path / "c", "--json", *where
    )
    assert trained.returncode == 0, trained.stderr
    made = json.loads(trained.stdout)
    assert (made["head"], made["version"]) == ("photos", "1")
    assert made["metrics"]["accuracy"] >= 0.75
    evaluated = run("evaluate", "--head", "photos", "--data", data, "--json", *where)
    found = json.loads(evaluated.stdout)
    assert found == {
        "head": "photos",
        "version": "1",
        "data": data.name,
        "count": 3 * PICTURES["test"],
        "metrics": made["metrics"],
    }
    by_version = run("evaluate", "--head", "photos/1", "--data", data, *where)
    assert by_version.stdout.splitlines()[0] == f"photos 1 on {data.name}, {found['count']} pictures"
    assert " %" in by_version.stdout


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["--unit", "cells"], 2, "write TARGET=UNIT"),
        (["--colour", "L"], 2, "need --width"),
        (["--mode", "magic"], 2, "magic"),
        (["--net", "magic"], 2, "'magic' is not one of"),
        (["--loss", "magic"], 2, "'magic' is not one of"),
        (["--epochs", "0"], 1, "options.epochs"),
        (["--width", "100"], 1, "spec.width"),
        (["--task", "poetry"], 1, "cannot be trained"),
        (["--data", "/nowhere"], 1, "no such folder"),
        (["--target", "age"], 1, "no target 'age'"),
    ],
)
def test_wrong_use_ends_with_one_line(data, repository, tmp_path, options, status, says):
    base = ["--name", "x", "--models", repository, "--cache", tmp_path / "c"]
    given = base if "--data" in options else ["--data", data, *base]
    done = run("train", *given, *options)
    assert done.returncode == status
    assert says in done.stderr
    if status == 1:
        assert len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in repository.iterdir()] == ["backbones"]
