"""The heads that ship, on real pictures they were never trained on, through a real service."""

import io

import numpy as np
import pytest
from PIL import Image

from trunkline.client import Client
from trunkline.core.repository import Repository

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from trunkline.training.data.read import read_dataset

EVERY = 40  # one of so many test pictures


def test_flowers102_names_flowers(datasets, target, models):
    labels = Repository(models).head("flowers102").labels
    dataset = read_dataset(datasets / "flowers102")
    assert dataset.classes == labels
    samples = dataset.of_split("test")[::EVERY]
    with Client(target) as client:
        answers = [client.classify(sample.read(), head="flowers102", top_k=1) for sample in samples]
    right = [answer.result.labels[0].label == labels[s.label] for answer, s in zip(answers, samples, strict=True)]
    assert len(samples) > 100
    assert np.mean(right) >= 0.88  # its card says more; 125 pictures vary by some percent


def test_digit_angle_measures_angles(datasets, target):
    samples = read_dataset(datasets / "mnist", targets=("angle",)).of_split("test")[::EVERY]
    with Client(target) as client:
        values = [client.regress(sample.read(), head="digit-angle").result.values for sample in samples]
    assert {(value.name, value.unit) for each in values for value in each} == {("angle", "deg")}
    off = np.array([each[0].value - sample.targets[0] for each, sample in zip(values, samples, strict=True)])
    assert len(samples) == 250
    assert np.sqrt((off**2).mean()) < 9  # answering the mean is off by 26


def test_camvid_names_the_pixels_of_streets(datasets, target, models):
    labels = Repository(models).head("camvid").labels
    dataset = read_dataset(datasets / "camvid")
    assert dataset.classes == labels
    pairs = np.zeros((len(labels), len(labels)), np.int64)  # truth, answer
    with Client(target) as client:
        for sample in dataset.of_split("test")[::12]:
            answer = client.segment(sample.read(), head="camvid")
            found = np.array(Image.open(io.BytesIO(answer.result.label_map_png)))  # (H, W)
            truth = sample.mask.load(answer.image_size)  # (H, W)
            known = truth < len(labels)  # void is not
            np.add.at(pairs, (truth[known], found[known]), 1)
    union = pairs.sum(axis=0) + pairs.sum(axis=1) - np.diag(pairs)
    assert np.diag(pairs).sum() / pairs.sum() > 0.87  # its card says more; 20 pictures vary
    assert np.mean(np.diag(pairs) / union) > 0.55


def embedded(client, samples, head):
    """float32 (N, D)"""
    return np.array([client.embed(sample.read(), head=head).result.values for sample in samples], np.float32)


def test_pets_tells_breeds_by_the_mean_of_a_few_embeddings(datasets, target):
    dataset = read_dataset(datasets / "pets")
    known, asked = (dataset.of_split(split) for split in ("train", "test"))
    known = [each for breed in range(37) for each in [s for s in known if s.label == breed][:5]]
    asked = [each for breed in range(37) for each in [s for s in asked if s.label == breed][:2]]
    with Client(target) as client:
        vectors, queries = embedded(client, known, "pets"), embedded(client, asked, "pets")
    assert np.allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)
    means = vectors.reshape(37, 5, -1).mean(axis=1)  # (37, D)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    found = (queries @ means.T).argmax(axis=1)
    assert np.mean(found == [each.label for each in asked]) > 0.7  # its card says more, with more examples


def test_omniglot_tells_characters_by_one_example(datasets, target):
    runs = read_dataset(datasets / "omniglot").runs[:5]
    right = []
    with Client(target) as client:
        for run in runs:
            support, queries = embedded(client, run.support, "omniglot"), embedded(client, run.queries, "omniglot")
            right += list((queries @ support.T).argmax(axis=1) == run.truth)
    assert len(right) == 100
    assert np.mean(right) > 0.85  # its card says more; 100 trials vary


def overlap(one, other):
    """IoU of two boxes."""
    width = min(one.x_max, other.x_max) - max(one.x_min, other.x_min)
    height = min(one.y_max, other.y_max) - max(one.y_min, other.y_min)
    shared = max(0, width) * max(0, height)
    areas = [(box.x_max - box.x_min) * (box.y_max - box.y_min) for box in (one, other)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize(("head", "split", "found"), [("pennfudan", "val", 0.75), ("bccd", "test", 0.7)])
def test_detectors_find_most_objects(datasets, target, head, split, found):
    samples = [each for each in read_dataset(datasets / head, task="detection").of_split(split) if each.objects][::3]
    hits, missed, answered = 0, 0, 0
    with Client(target) as client:
        for sample in samples:
            objects = client.detect(sample.read(), head=head).result.objects
            answered += len(objects)
            for truth in sample.objects:
                seen = any(o.label.index == truth.label and overlap(o.box, truth.box) > 0.5 for o in objects)
                hits, missed = hits + seen, missed + (not seen)
    assert hits / (hits + missed) > found
    assert hits / answered > 0.6  # annotations of bccd leave cells out


def test_coco_finds_people_that_it_never_saw_and_answers_where_no_head_is_named(datasets, target):
    samples = read_dataset(datasets / "pennfudan", task="detection").of_split("val")[::3]
    hits, people = 0, 0
    with Client(target) as client:
        for sample in samples:
            answer = client.detect(sample.read(), classes=["person"])
            assert (answer.head, {found.label.label for found in answer.result.objects}) == ("coco", {"person"})
            for truth in sample.objects:
                people += 1
                hits += any(overlap(found.box, truth.box) > 0.5 for found in answer.result.objects)
    assert people > 20
    assert hits / people > 0.8


def test_coco_finds_what_is_in_a_street(target, samples):
    with Client(target) as client:
        found = client.detect(samples / "street.jpg").result.objects
    names = [each.label.label for each in found]
    assert names.count("person") >= 6
    assert names.count("car") >= 3
    assert {"umbrella", "motorcycle"} <= set(names)
    near = max(found, key=lambda each: (each.box.x_max - each.box.x_min) * (each.box.y_max - each.box.y_min))
    assert near.label.label == "car"  # the blue one in front, in pixels of the photograph
    assert [near.box.x_min, near.box.y_min, near.box.x_max, near.box.y_max] == pytest.approx(
        [540, 330, 765, 508], abs=15
    )


def test_the_card_of_coco_names_terms_source_and_command(models):
    folder = Repository(models).head("coco").path
    card = (folder / "CARD.md").read_text()
    for text in ("Terms: Apache-2.0", "Megvii-BaseDetection/YOLOX", "trunkline models import yolox_nano.onnx"):
        assert text in card
    assert "Apache License" in (folder / "LICENSE").read_text()


@pytest.mark.parametrize("head", ["flowers102", "digit-angle", "camvid", "pets", "omniglot", "pennfudan", "bccd"])
def test_cards_name_data_terms_and_command(models, head):
    card = (Repository(models).head(head).path / "CARD.md").read_text()
    assert "Terms:" in card
    assert "trunkline train" in card
    assert "not stated" not in card.partition("Terms:")[2].partition("\n")[0]
