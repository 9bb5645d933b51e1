"""Segmentation heads from data to an answer: on maps, with a private tail, and from scratch."""

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.crops import linked
from tests.service.mask_data import brightness, mask_folders
from trunkline.client import AsyncClient, ServiceError
from trunkline.core.errors import DataInvalidError
from trunkline.core.masks import decode_mask
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Watcher
from trunkline.core.repository import Repository
from trunkline.core.train_request import FitOptions, TrainRequest
from trunkline.testing import serve, serve_split
from trunkline.training.evaluation import evaluate_head
from trunkline.training.run import Places, train_head

SMALL = PreprocessSpec(resize="squash", width=96, height=64)
QUIET = Watcher(lambda stage, done, total: None, lambda epoch: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return mask_folders(tmp_path_factory.mktemp("data"), samples, {"train": 12, "val": 3, "test": 3})


@pytest.fixture(scope="module")
def places(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("places")
    return Places(linked(folder / "models", models), folder / "cache", folder / "work")


def train(places, data, name, **fields):
    fields = {"spec": SMALL, "options": FitOptions(epochs=12, batch=4), **fields}
    own = Places(places.models, places.cache, places.work / name)
    train_head(TrainRequest(name=name, data=str(data), task="segmentation", **fields), own, QUIET)
    return Repository(places.models).head(name)


@pytest.mark.parametrize(
    ("name", "fields", "features"),
    [
        ("maps", {"mode": "transfer", "views": 2}, ("c2", "c3", "c4", "c5")),
        ("tailed", {"mode": "finetune", "tail": "c3", "views": 2, "decoder": "fpn"}, ("c2", "c3")),
        ("own", {"mode": "scratch"}, ("image",)),
    ],
)
async def test_a_head_learns_from_masks_and_answers_with_them(places, data, name, fields, features):
    head = train(places, data, name, **fields)
    assert head.manifest.features == features
    assert head.labels == ("dark", "bright")
    assert head.manifest.metrics["global_accuracy"] > 0.75
    for file in ("CARD.md", "curves.png", "confusion.png", "samples.jpg"):
        assert (head.path / file).stat().st_size > 0
    card = (head.path / "CARD.md").read_text()
    assert "| bright |" in card
    picture = (data / "test/images/0.jpg").read_bytes()
    answers = []
    for form in (serve, serve_split):
        async with form(models=places.models) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=60)
            answers.append((await client.segment(picture, name, masks="both", confidence_map=True)).result)
            with pytest.raises(ServiceError, match="Segment or Analyze") as refused:
                await client.classify(picture, name)
            assert refused.value.reason == "WRONG_TASK"
    assert answers[0] == answers[1]
    labels, truth = np.asarray(Image.open(io.BytesIO(answers[0].label_map_png))), brightness(picture)
    for part in answers[0].classes:
        assert (decode_mask(part.mask) == (labels == part.index)).all()
    assert Image.open(io.BytesIO(answers[0].confidence_map_png)).size == labels.shape[::-1]
    assert labels.shape == truth.shape
    assert (labels == truth)[truth < 2].mean() > 0.75
    found = evaluate_head(places.models, name, data, None, lambda done, total: None)
    assert found["metrics"] == pytest.approx(head.manifest.metrics)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda masks: (masks / "0.png").unlink(), "no mask"),
        (lambda masks: Image.new("L", (5, 5)).save(masks / "0.png"), "5x5"),
        (lambda masks: (masks / "0.png").write_bytes(b"no picture"), "cannot be read"),
        (lambda masks: _fill(masks / "0.png", 9), "value 9"),
    ],
)
def test_with_strict_bad_masks_fail_at_once_with_their_name(places, samples, tmp_path, spoil, word):
    data = mask_folders(tmp_path, samples, {"train": 3, "test": 2})
    spoil(data / "train/masks")
    with pytest.raises(DataInvalidError, match=f"train/(masks|images)/0.*{word}"):
        train(places, data, "bad", strict=True)


def _fill(path, value):
    with Image.open(path) as picture:
        size = picture.size
    Image.new("L", size, value).save(path)
