"""`trunkline embed` and `trunkline compare` as scripts see them: real processes on a real service."""

import json

import pytest

from tests.conftest import start_server
from tests.e2e.test_cli import run
from tests.service.bundles import linked_repository
from tests.service.embedders import CALIBRATED, WIDTH, add_embedding_head


@pytest.fixture(scope="module")
def target(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("similarity")
    repository = linked_repository(models, folder)
    add_embedding_head(repository, "things", 1, CALIBRATED)
    with start_server(folder / "log", TRUNKLINE_MODELS=str(repository)) as server:
        yield server.address


def test_json_has_the_vector_of_each_picture_and_its_space(target, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    done = run("embed", photos[0], bad, photos[1], "--target", target, "--json")
    first, failed, second = json.loads(done.stdout)
    assert done.returncode == 1
    assert failed["error"]["reason"] == "INVALID_IMAGE"
    assert (first["image"], first["head"]) == (str(photos[0]), "things")
    assert len(first["embedding"]) == len(second["embedding"]) == WIDTH
    assert first["space"] == second["space"]
    assert first["calibration"]["threshold"] == 0.5


def test_a_comparison_has_distance_probability_and_verdict(target, photos):
    done = run("compare", photos[0], photos[1], "--target", target, "--head", "things", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["first"], found["second"], found["head"]) == (str(photos[0]), str(photos[1]), "things")
    assert 0 < found["distance"] < 2
    assert -1 <= found["similarity"] <= 1
    assert 0 < found["probability"] < 1
    assert found["same"] is (found["distance"] <= found["threshold"])
    shown = run("compare", photos[0], photos[0], "--target", target)
    assert shown.returncode == 0
    assert "the same" in shown.stdout


def test_people_see_the_space_and_the_wrong_command_names_the_right_call(target, photos):
    shown = run("embed", photos[0], "--target", target)
    assert shown.returncode == 0
    assert str(WIDTH) in shown.stdout
    wrong = run("classify", photos[0], "--head", "things", "--target", target)
    assert (wrong.returncode, "Embed" in wrong.stderr) == (1, True)
    missing = run("compare", photos[0], "missing.jpg", "--target", target)
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
