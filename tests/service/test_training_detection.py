"""Detectors of one stage and two from data to an answer: with outlines, and with a private tail."""

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.box_data import SIDE, coco_folder
from tests.service.crops import linked
from trunkline.client import AsyncClient
from trunkline.core.errors import InvalidRequestError
from trunkline.core.masks import decode_mask
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Watcher
from trunkline.core.repository import Repository
from trunkline.core.train_request import FitOptions, TrainRequest
from trunkline.heads.detection.matches import overlap
from trunkline.testing import serve
from trunkline.training.data.read import read_dataset
from trunkline.training.evaluation import evaluate_head
from trunkline.training.run import Places, train_head

SMALL = PreprocessSpec(resize="squash", width=SIDE, height=SIDE)
QUIET = Watcher(lambda stage, done, total: None, lambda epoch: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return coco_folder(tmp_path_factory.mktemp("data") / "shapes", samples, {"train": 16, "val": 4, "test": 5})


@pytest.fixture(scope="module")
def places(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("places")
    return Places(linked(folder / "models", models), folder / "cache", folder / "work")


def train(places, data, name, **fields):
    own = Places(places.models, places.cache, places.work / name)
    train_head(TrainRequest(name=name, data=str(data), task="detection", spec=SMALL, **fields), own, QUIET)
    return Repository(places.models).head(name)


@pytest.fixture(scope="module")
def shapes(places, data):
    options = FitOptions(epochs=12, batch=4, rate=4e-3)
    return train(places, data, "shapes", mode="transfer", views=2, options=options)


async def test_a_head_learns_boxes_and_outlines_and_answers_with_them(places, data, shapes):
    head = shapes
    assert head.manifest.settings["net"] == "one-stage"
    assert head.manifest.features == ("c2", "c3", "c4", "c5")
    assert head.labels == ("disc", "square")
    assert head.manifest.settings["largest_nms_iou"] == 0.7
    assert set(head.manifest.metrics) == {"ap", "ap50", "ap75", "mask_ap", "mask_ap50"}
    assert head.manifest.metrics["ap50"] > 0.3
    assert head.manifest.metrics["mask_ap50"] > 0.2
    for file in ("CARD.md", "curves.png", "precision.png", "confusion.png", "samples.jpg"):
        assert (head.path / file).stat().st_size > 0
    assert "| disc |" in (head.path / "CARD.md").read_text()
    found = evaluate_head(places.models, "shapes", data, None, lambda done, total: None)
    assert found["metrics"] == pytest.approx(head.manifest.metrics)
    async with serve(models=places.models) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=60)
        answers = {}
        for sample in read_dataset(data, task="detection").of_split("test"):
            answer = await client.detect(sample.read(), "shapes", score_threshold=0.02)
            answers[sample] = answer.result.objects
    for each in (each for objects in answers.values() for each in objects):
        assert 0 <= each.box.x_min < each.box.x_max <= SIDE
        assert decode_mask(each.mask).shape == (SIDE, SIDE)
    best = [
        max((overlap(known.box, each.box) for each in objects), default=0.0)
        for sample, objects in answers.items()
        for known in sample.objects
    ]
    assert np.mean(np.array(best) > 0.5) > 0.3


def test_a_net_of_two_stages_is_learned_where_it_is_asked_for(places, data):
    options = FitOptions(epochs=1, batch=4)
    head = train(places, data, "two", mode="transfer", net="two-stage", views=2, options=options)
    assert head.manifest.settings["net"] == "two-stage"
    assert head.manifest.features == ("c2", "c3", "c4", "c5")
    assert "--net two-stage" in (head.path / "CARD.md").read_text()


def test_a_head_teaches_another_on_pictures_without_labels(places, data, shapes, samples, tmp_path):
    plain = coco_folder(tmp_path / "plain", samples, {"train": 5})
    (plain / "instances_train.json").unlink()
    fields = {"teacher": "shapes", "taught": {"square": "square"}, "unlabelled": str(plain)}
    head = train(places, data, "pupil", mode="transfer", views=1, options=FitOptions(epochs=1, batch=4), **fields)
    card = (head.path / "CARD.md").read_text()
    assert "answers of head shapes version 1 (terms: not stated)" in card
    assert "in 5 pictures without labels" in card
    assert "--teacher shapes --taught square=square --unlabelled plain" in card
    assert "masks" in head.read_golden()[1]  # outlines are learned from the pictures that have them


def test_a_private_tail_gives_the_coarse_maps(places, data):
    head = train(places, data, "tailed", mode="finetune", tail="c3", views=1, options=FitOptions(epochs=1, batch=4))
    assert head.manifest.features == ("c2", "c3")
    assert head.manifest.settings["tail"]["start"] == "c3"
    assert 0 <= head.manifest.metrics["ap"] <= 1


@pytest.mark.parametrize(("mode", "word"), [("scratch", "transfer or finetune"), ("pretrained", "another mode")])
def test_modes_without_maps_are_refused(places, data, mode, word):
    with pytest.raises(InvalidRequestError, match=word):
        train(places, data, mode, mode=mode)


def test_objects_laid_over_other_pictures_are_learned_from_too(places, tmp_path, samples):
    few = coco_folder(tmp_path / "few", samples, {"train": 4, "val": 2, "test": 2})
    before, options = len(list(places.cache.rglob("*.c3.npy"))), FitOptions(epochs=1, batch=8)
    head = train(places, few, "pasted", mode="transfer", augmentation="pasted", views=1, options=options)
    assert "--augmentation pasted" in (head.path / "CARD.md").read_text()
    # Three more of each of the 4 pictures, once each: pictures are kept by what is in them.
    assert len(list(places.cache.rglob("*.c3.npy"))) - before >= 3 * 4


def test_objects_without_outlines_cannot_be_laid_over_others(places, tmp_path, samples):
    boxes = coco_folder(tmp_path / "boxes", samples, {"train": 4, "test": 2}, outlines=False)
    with pytest.raises(InvalidRequestError, match="needs the outline"):
        train(places, boxes, "none", mode="transfer", augmentation="pasted", views=1)
