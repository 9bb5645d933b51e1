"""Similarity heads from data to an answer, each way of training, measured on classes that were not learned."""

import json
import random
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.crops import crop, linked
from trunkline.client import AsyncClient
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Watcher
from trunkline.core.repository import Repository
from trunkline.core.train_request import FitOptions, TrainRequest
from trunkline.testing import serve, serve_split
from trunkline.training.evaluation import evaluate_head
from trunkline.training.run import Places, train_head

SMALL = PreprocessSpec(resize="squash", width=96, height=96)
QUIET = Watcher(lambda stage, done, total: None, lambda epoch: None)
SPLITS = {"train": ("camera", "chelsea"), "val": ("clock", "coffee"), "test": ("astronaut", "coffee")}


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    """Crops of photographs; the photograph is the class. One class of the test is one of validation too."""
    root, rng = tmp_path_factory.mktemp("data"), random.Random(3)
    for split, names in SPLITS.items():
        for name in names:
            (root / split / name).mkdir(parents=True)
            for number in range(6):
                (root / split / name / f"{number}.jpg").write_bytes(crop(samples / f"{name}.jpg", rng))
    return root


@pytest.fixture(scope="module")
def places(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("places")
    return Places(linked(folder / "models", models), folder / "cache", folder / "work")


def train(places, data, name, **fields):
    own = Places(places.models, places.cache, places.work / name)
    train_head(TrainRequest(name=name, data=str(data), task="similarity", **fields), own, QUIET)
    return Repository(places.models).head(name)


@pytest.mark.parametrize(
    ("name", "fields", "features", "least"),
    [
        ("plain", {"mode": "pretrained", "spec": SMALL}, ("pooled",), 0.9),
        # Two classes and a few steps teach little: what counts is that all of the way works.
        ("small", {"mode": "features", "spec": SMALL, "loss": "triplet"}, ("c4", "c5", "pooled"), 0.5),
        (
            "tailed",
            {"mode": "finetune", "spec": SMALL, "tail": "c5", "views": 2, "loss": "proxy_anchor"},
            ("c5",),
            0.5,
        ),
    ],
)
async def test_a_head_learns_what_is_alike_and_tells_new_classes_apart(places, data, name, fields, features, least):
    head = train(places, data, name, options=FitOptions(epochs=4, batch=16), **fields)
    manifest = head.manifest
    assert manifest.features == features
    assert head.labels == ()
    assert manifest.metrics["auc"] > least
    assert {"eer", "recall_at_1", "few_shot_accuracy"} <= set(manifest.metrics)
    for file in ("CARD.md", "verification.png", "map.png", "samples.jpg"):
        assert (head.path / file).stat().st_size > 0
    found = evaluate_head(places.models, name, data, None, lambda done, total: None)
    assert found["metrics"] == pytest.approx(manifest.metrics)
    pictures = [(data / f"test/{which}.jpg").read_bytes() for which in ("astronaut/0", "astronaut/1", "coffee/0")]
    answers = []
    for form in (serve, serve_split):
        async with form(models=places.models) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=60)
            answers.append(
                [(await client.compare(pictures[0], other, name)).result for other in pictures]
                + [(await client.embed(pictures[0], name)).result]
            )
    assert answers[0] == answers[1]
    itself, alike, other, _ = answers[0]
    assert itself.distance == 0 < min(alike.distance, other.distance)
    if least > 0.5:
        assert alike.distance < other.distance
        assert itself.probability > alike.probability > other.probability


def test_pairs_are_learned_from_and_measured_as_they_are_given(places, data):
    rows = ["a,b,same,split"]
    for split, (one, other) in SPLITS.items():
        named = [f"{split}/{one}/{number}.jpg" for number in range(6)]
        rows += [f"{first},{second},1,{split}" for first, second in pairwise(named)]
        rows += [f"{split}/{one}/{n}.jpg,{split}/{other}/{n}.jpg,0,{split}" for n in range(6)]
    (data / "pairs.csv").write_text("\n".join(rows) + "\n")
    try:
        head = train(
            places,
            data / "pairs.csv",
            "paired",
            spec=SMALL,
            loss="contrastive",
            options=FitOptions(epochs=3, batch=8),
        )
    finally:
        (data / "pairs.csv").unlink()
    assert set(head.manifest.metrics) >= {"auc", "eer"}
    assert "recall_at_1" not in head.manifest.metrics
    assert "5 of the same class, 6 of different ones" in (head.path / "CARD.md").read_text()


def test_drawings_are_learned_from_scratch_and_runs_are_tried(places, tmp_path):
    root, rng = tmp_path / "drawings", np.random.default_rng(5)
    for part, classes in (("background", range(12)), ("evaluation", range(12, 18))):
        for kind in classes:
            folder = root / part / "Lines" / f"character{kind:02}"
            folder.mkdir(parents=True)
            for number in range(6):
                drawing(kind, rng).save(folder / f"{number}.png")
    run = root / "oneshot_runs/run01"
    for side in ("training", "test"):
        (run / side).mkdir(parents=True)
    lines = []
    for number, kind in enumerate(range(12, 18), 1):
        drawing(kind, rng).save(run / f"training/class{number:02}.png")
        drawing(kind, rng).save(run / f"test/item{number:02}.png")
        lines.append(f"run01/test/item{number:02}.png run01/training/class{number:02}.png")
    (run / "class_labels.txt").write_text("\n".join(lines) + "\n")
    head = train(places, root, "lines", mode="scratch", augmentation="turns", options=FitOptions(epochs=6, batch=32))
    manifest = head.manifest
    assert manifest.features == ("image",)
    assert (manifest.preprocess.width, manifest.preprocess.colour) == (32, "L")
    assert manifest.settings["net"] == "cnn"
    assert manifest.metrics["auc"] > 0.6
    assert 0 <= manifest.metrics["one_shot_runs_accuracy"] <= 1
    assert "mean_embedding_accuracy" not in manifest.metrics
    assert json.loads((head.path / "manifest.json").read_text())["evaluation"]["count"] == 36


def drawing(kind: int, rng: np.random.Generator) -> Image.Image:
    """Three strokes that belong to the kind, each time a little elsewhere. 1 bit, ink is black."""
    picture = Image.new("L", (105, 105), 255)
    points = np.random.default_rng(kind).uniform(15, 90, (4, 2)) + rng.normal(0, 3, (4, 2))
    ImageDraw.Draw(picture).line([tuple(point) for point in points], 0, 4)
    return picture.convert("1")
