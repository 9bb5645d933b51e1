"""Losses, batches and metric of similarity, on vectors that are learned in seconds."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

import torch

from trunkline.core.errors import InvalidRequestError
from trunkline.core.train_request import TrainRequest, parse_request
from trunkline.heads.similarity.learn.batches import class_batches
from trunkline.heads.similarity.learn.learner import WIDTH, Learner
from trunkline.heads.similarity.learn.losses import PrototypicalLoss
from trunkline.heads.similarity.learn.recall import RecallAtOne

LOSSES = ("contrastive", "triplet", "arcface", "proxy_anchor", "prototypical")


def request(**fields) -> TrainRequest:
    return TrainRequest(name="x", data="y", task="similarity", **fields)


def samples(*labels) -> list[SimpleNamespace]:
    return [SimpleNamespace(label=label) for label in labels]


def noisy(classes: int, each: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 (N, 40): four values know the class, the others are louder and know nothing."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(classes), each)
    known = np.random.default_rng(7).normal(size=(classes, 4))[truth]
    found = np.concatenate([known, random.normal(0, 2, (len(truth), 36))], axis=1)
    return torch.tensor(found, dtype=torch.float32), torch.tensor(truth)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_finds_what_is_alike(loss):
    torch.manual_seed(0)
    learner = Learner([f"class {number}" for number in range(8)], (), request(loss=loss))
    learner.prepare(samples(*range(8)))
    layer = learner.answer_layer(40)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.01)
    for step in range(150):
        vectors, truth = noisy(8, 8, seed=step)
        optimiser.zero_grad()
        learner.loss(layer(vectors), truth).backward()
        optimiser.step()
    vectors, truth = noisy(8, 8, seed=1000)
    before, after = RecallAtOne(), learner.measure()
    before.update(vectors, truth)
    with torch.inference_mode():
        after.update(layer(vectors), truth)
    assert float(before.compute()) < 0.5
    assert float(after.compute()) > 0.7
    assert layer(vectors).shape == (64, WIDTH)


def test_the_prototypical_loss_is_the_one_of_its_formula():
    """Against the plain way: each picture in turn, the mean of its class made without it."""
    vectors, labels = noisy(3, 3, seed=1)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    losses = []
    for place, label in enumerate(labels):
        means = []
        for other in range(3):
            chosen = labels == other
            chosen[place] = False
            means.append(torch.nn.functional.normalize(unit[chosen].sum(dim=0), dim=0))
        logits = 16 * torch.stack(means) @ unit[place]
        losses.append(torch.nn.functional.cross_entropy(logits[None], label[None]))
    assert float(PrototypicalLoss()(vectors, labels)) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)


def test_pictures_that_are_alone_in_their_class_have_no_loss():
    vectors = torch.randn(3, 5, requires_grad=True)
    loss = PrototypicalLoss()(vectors, torch.tensor([0, 1, 2]))
    loss.backward()
    assert loss.item() == 0


def test_batches_have_several_pictures_of_several_classes():
    truth = torch.tensor([0] * 50 + [1] * 3 + [2] * 10 + [3] * 7 + [4] * 9)
    for batch in class_batches(truth, 12, 20, fixed=False):
        _, counts = np.unique(truth.numpy()[batch], return_counts=True)
        assert counts.tolist() == [4, 4, 4]
    wide = list(class_batches(truth, 40, 5, fixed=False))
    assert [len(batch) for batch in wide] == [40] * 5
    fixed = class_batches(truth, 12, 3, fixed=True)
    assert list(fixed) == list(fixed)
    assert len(list(class_batches(torch.tensor([0, 0, 1]), 128, 1, fixed=False))) == 1


def test_classes_that_are_only_measured_come_after_those_that_are_learned():
    learner = Learner(["a", "b", "c", "d"], (), request())
    learner.prepare(samples(3, 1))
    assert learner.truth(samples(1, 3, 3)).tolist() == [0, 1, 1]
    assert learner.truth(samples(0, 2, 1)).tolist() == [2, 3, 0]
    assert not learner.keeps_classes


def test_quarter_turns_are_classes_of_their_own():
    learner = Learner(["a", "b"], (), request(mode="scratch", augmentation="turns", loss="arcface"))
    learner.prepare(samples(0, 1))
    pixels = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    turned, truth = learner.further_classes(pixels, np.array([0, 1]))
    assert truth.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert (turned[2] == np.rot90(pixels[0])).all()
    learner.answer_layer(5)
    assert torch.isfinite(learner.loss(torch.randn(8, WIDTH), torch.tensor(truth)))
    with pytest.raises(InvalidRequestError, match="as wide as high"):
        learner.further_classes(pixels[:, :2], np.array([0, 1]))
    with pytest.raises(InvalidRequestError, match="scratch"):
        Learner(["a", "b"], (), request(augmentation="turns"))


@pytest.mark.parametrize(
    ("task", "loss"), [("similarity", "dice"), ("segmentation", "triplet"), ("regression", "dice")]
)
def test_a_loss_of_another_task_is_refused(task, loss):
    with pytest.raises(InvalidRequestError, match=f"'{loss}' is none of task {task}"):
        parse_request({"name": "x", "data": "y", "task": task, "loss": loss})


def test_the_command_names_the_loss():
    assert "--loss arcface" in request(loss="arcface").command()


def test_a_calibration_is_fitted_on_pairs_of_validation_samples():
    learner = Learner(["a", "b"], (), request())
    vectors, truth = noisy(6, 10, seed=2)
    found = learner.calibrate(vectors[:, :4], truth)
    assert found["calibration"]["a"] < 0
    assert 0 < found["threshold"] < 2
    assert learner.calibrate(vectors[:10, :4], truth[:10]) == {}
