"""Keypoints heads from data to an answer: each format, on maps and with a private tail; and the real faces."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.conftest import start_server
from tests.service.crops import linked
from tests.service.point_data import LINES, NAMES, as_coco, as_table, as_yolo, figure
from trunkline.client import AsyncClient, ServiceError
from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Watcher
from trunkline.core.repository import Repository
from trunkline.core.train_request import FitOptions, TrainRequest
from trunkline.testing import serve, serve_split
from trunkline.training.evaluation import evaluate_head
from trunkline.training.run import Places, train_head

SMALL = PreprocessSpec(resize="squash", width=96, height=96)
QUIET = Watcher(lambda stage, done, total: None, lambda epoch: None)
FACES = Path(os.environ.get("TRUNKLINE_DATASETS", "")) / "faces"
PICTURES = 40


@pytest.fixture(scope="module")
def places(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("places")
    return Places(linked(folder / "models", models), folder / "cache", folder / "work")


@pytest.fixture(scope="module")
def trained(models, tmp_path_factory) -> Path:
    """A repository with the head `drawn`, hardly trained, beside its data."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "data").mkdir()
    own = Places(linked(folder / "models", models), folder / "cache", folder / "work")
    train(own, as_table(folder / "data", 10), "drawn", mode="features", options=FitOptions(epochs=1))
    return own.models


def train(places, data, name, **fields):
    fields = {"spec": SMALL, "options": FitOptions(epochs=25, batch=8), **fields}
    own = Places(places.models, places.cache, places.work / name)
    train_head(TrainRequest(name=name, data=str(data), task="keypoints", **fields), own, QUIET)
    return Repository(places.models).head(name)


def test_the_command_answers_and_draws(trained, tmp_path):
    picture, _ = figure(9)
    picture.save(tmp_path / "figure.png")
    with start_server(tmp_path / "log", TRUNKLINE_MODELS=str(trained)) as service:
        asked = ["keypoints", tmp_path / "figure.png", "--target", service.address]
        (found,) = json.loads(command(*asked, "--json"))
        assert [point["name"] for point in found["objects"][0]["points"]] == list(NAMES)
        assert found["skeleton"] == [list(line) for line in LINES]
        shown = command(*asked, "--draw", tmp_path / "drawn.png")
        assert "left_hand" in shown
        measured = command(
            "evaluate", "--head", "drawn", "--data", trained.parent / "data", "--models", trained, "--json"
        )
        assert json.loads(measured)["metrics"]["nme"] > 0
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.width > picture.width


def command(*arguments: object) -> str:
    words = [sys.executable, "-m", "trunkline.cli.main", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("write", "fields", "features"),
    [
        (as_table, {"mode": "transfer", "views": 4}, ("c2", "c3", "c4")),
        (as_coco, {"mode": "features"}, ("c2", "c3", "c4")),
        (as_yolo, {"mode": "finetune", "tail": "c3", "views": 3}, ("c2", "c3")),
    ],
    ids=["table", "coco", "yolo"],
)
async def test_a_head_learns_points_and_answers_with_them(places, tmp_path, write, fields, features):
    data, name = write(tmp_path, PICTURES), write.__name__.replace("_", "-")
    head = train(places, data, name, **fields)
    assert (head.manifest.features, head.labels) == (features, NAMES)
    assert head.manifest.metrics["nme"] < 0.1, "half of the way between two points would be 0.25"
    assert head.manifest.metrics["pck"] > 0.7
    for file in ("CARD.md", "curves.png", "errors.png", "samples.jpg"):
        assert (head.path / file).stat().st_size > 0
    picture, truth = figure(4)
    answers = []
    for form in (serve, serve_split):
        async with form(models=places.models) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=60)
            answers.append((await client.keypoints(encoded(picture), name)).result)
            both = await client.analyze(encoded(picture), [name])
            assert both.outcomes[0].result == answers[-1]
            few = (await client.keypoints(encoded(picture), name, score_threshold=1.0)).result
            assert len(few.objects[0].points) < len(NAMES)
            with pytest.raises(ServiceError, match="Keypoints or Analyze") as refused:
                await client.classify(encoded(picture), name)
            assert refused.value.reason == "WRONG_TASK"
    assert answers[0] == answers[1]
    (found,) = answers[0].objects
    assert [point.name for point in found.points] == list(NAMES)
    off = np.hypot(*(np.array([(point.x, point.y) for point in found.points]) - truth).T)
    assert off.mean() < 8, "the figure is 60 pixels high"
    assert answers[0].skeleton == (LINES if write is not as_yolo else ())
    measured = evaluate_head(places.models, name, data, None, lambda done, total: None)
    assert measured["metrics"] == pytest.approx(head.manifest.metrics)


def test_mirrored_views_need_pairs(places, tmp_path):
    data = as_table(tmp_path, 10)
    table = data / "labels.csv"
    header, *rows = table.read_text().splitlines()
    for side in ("left_hand", "right_hand"):
        header = header.replace(side, side[0] + "h")
    table.write_text("\n".join([header.replace("head_", "a_"), *rows]))
    (data / "points.json").unlink()
    with pytest.raises(InvalidRequestError, match="--flip"):
        train(places, data, "mirrored", augmentation="mirror")
    with pytest.raises(InvalidRequestError, match="option 'distance'"):
        train(places, data, "far", task_options={"distance": "a,nothing"})
    head = train(places, data, "plain", mode="features", options=FitOptions(epochs=1))
    assert head.manifest.settings["distance"] is None


@pytest.mark.skipif(not FACES.is_dir(), reason="needs the faces below TRUNKLINE_DATASETS")
def test_real_faces_are_learned(places, tmp_path):
    """A few pictures and epochs: far from what the set gives, and far better than a mean face (22 %)."""
    (tmp_path / "images").symlink_to(FACES / "images")
    with (FACES / "keypoints.csv").open() as file:
        header, *rows = csv.reader(file)
    learned, asked = ([row for row in rows if row[1] == split] for split in ("train", "test"))
    with (tmp_path / "keypoints.csv").open("w") as file:
        csv.writer(file).writerows([header, *learned[::6], *asked[::10]])
    options = FitOptions(epochs=6, batch=8)
    spec = PreprocessSpec(resize="squash", width=64, height=64)
    head = train(places, tmp_path, "faces", spec=spec, options=options, task_options={"distance": "36,45"})
    assert len(head.labels) == 68
    assert head.manifest.metrics["nme"] < 0.2
