"""Parts of a co-training: the trunk as a net and as a file, losses brought to one size, checkpoints, the last fit."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import torch
from torch import nn

from trunkline.core.errors import InvalidRequestError
from trunkline.core.progress import Watcher
from trunkline.core.repository import Repository
from trunkline.serving.session import OnnxSession, load_session
from trunkline.training.cotrain.balance import LossBalance
from trunkline.training.cotrain.course import Batch
from trunkline.training.cotrain.joint import Joint, read_checkpoint
from trunkline.training.cotrain.kept import Classifier, logits_of
from trunkline.training.cotrain.plan import Plan
from trunkline.training.cotrain.refit import refitted
from trunkline.training.cotrain.teacher import difference
from trunkline.training.cotrain.trunk import Trunk, exported

QUIET = Watcher(lambda stage, done, total: None, lambda epoch: None)
PICTURES = 10


@pytest.fixture(scope="module")
def backbone(models):
    return Repository(models).backbone("efficientnet-lite0")


@pytest.fixture
def maps(backbone):
    image = np.random.default_rng(0).integers(0, 256, (PICTURES, 64, 96, 3), np.uint8)
    return {name: torch.from_numpy(value) for name, value in load_session(backbone).run({"image": image}).items()}


def test_a_trunk_computes_what_the_backbone_does_and_no_more_than_is_wanted(backbone, maps):
    trunk = Trunk(backbone, "c3")
    assert set(trunk.after) == {"c4", "c5", "stage5", "pooled"}
    with torch.inference_mode():
        found = trunk(maps["c3"], ("pooled", "c4"))
    assert set(found) == {"c4", "pooled"}
    assert all(torch.allclose(value, maps[name], atol=1e-3) for name, value in found.items())
    ran = []
    for step in trunk.tail.steps:
        step.register_forward_hook(lambda *_: ran.append(1))
    trunk(maps["c3"], ("c4",))
    assert 0 < len(ran) < len(trunk.tail.steps)
    assert trunk(maps["c3"], ()) == {}


@pytest.mark.parametrize(("start", "says"), [("c9", "no feature 'c9'"), ("pooled", "nothing follows on 'pooled'")])
def test_a_trunk_that_cannot_begin_there_says_so(backbone, start, says):
    with pytest.raises(InvalidRequestError, match=says):
        Trunk(backbone, start)


def test_the_file_of_a_trunk_is_the_backbone_with_what_was_learned(backbone, maps):
    trunk = Trunk(backbone, "c4")
    unchanged = exported(trunk, backbone, "same")
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.mul_(1.05)
        want = trunk(maps["c4"], ("c5", "pooled"))
    checked = exported(trunk, backbone, "other")
    image = np.random.default_rng(0).integers(0, 256, (PICTURES, 64, 96, 3), np.uint8)
    found, before = checked.session.run({"image": image}), load_session(backbone).run({"image": image})
    same = OnnxSession(unchanged.model, "same").run({"image": image})
    assert all((same[name] == before[name]).all() for name in before)
    assert all((found[name] == before[name]).all() for name in ("c2", "c3", "c4"))
    assert all(np.allclose(found[name], want[name].numpy(), atol=1e-3) for name in want)
    assert np.abs(found["c5"] - before["c5"]).max() > 0.1
    assert len(checked.parity) == 3 * len(before)


def test_losses_of_any_size_move_the_trunk_alike():
    balance = LossBalance()
    scaled = [(balance.scale("large", 500.0) * 500.0, balance.scale("small", 0.02) * 0.02) for _ in range(50)]
    assert all(pair == pytest.approx((1.0, 1.0)) for pair in scaled)
    for _ in range(500):
        shrunk = balance.scale("large", 0.001)
    assert shrunk == pytest.approx(1 / 100)  # what is learned already is not blown up
    assert balance.scale("known", 0.001, chance=2.0) == pytest.approx(1 / 0.4)  # nor what was known from the start
    again = LossBalance()
    again.load(balance.state())
    assert again.scale("large", 0.001) == balance.scale("large", 0.001)


class Brightness:
    """A course of real maps: the mean of the picture's own `pooled`, which the trunk has to go on giving."""

    metric, weight, share, wanted, chance = "error", 1.0, 4, ("pooled",), 0.0

    def __init__(self, maps, name="brightness") -> None:
        self.name, self._maps = name, maps
        self.net = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1))

    def __len__(self):
        return PICTURES

    def groups(self):
        return [{"params": list(self.net.parameters()), "lr": 1e-3}]

    def chosen(self, count):
        return None

    def batch(self, indices):
        return Batch({"c4": self._maps["c4"][indices]}, self._maps["c3"][indices].mean(dim=(1, 2, 3)))

    def loss(self, features, truth):
        return nn.functional.mse_loss(self.net(features["pooled"])[:, 0], truth)

    def held_back(self):
        return 0


def joint(backbone, maps, folder, **fields):
    torch.manual_seed(3)
    plan = Plan.model_validate(
        {"trunk": "t", "like": "camvid", "rounds": 8, "alone": 0.25, "heads": {"a": {"data": "a"}}, **fields}
    )
    return Joint(Trunk(backbone, "c4"), [Brightness(maps), Brightness(maps, "other")], plan, folder, QUIET)


def weights(run):
    nets = (run.trunk, *(course.net for course in run.courses))
    return torch.cat([each.flatten() for net in nets for each in net.parameters()])


def test_a_run_that_goes_on_is_the_run_without_interruption(backbone, maps, tmp_path):
    whole = joint(backbone, maps, tmp_path / "whole")
    whole.fit()
    begun = joint(backbone, maps, tmp_path / "other", checkpoint_minutes=1e-6)
    seen = []

    def ended(stage, done, total):
        seen.append(done)
        if done == 5:
            raise KeyboardInterrupt

    begun.watcher = Watcher(ended, lambda epoch: None)
    with pytest.raises(KeyboardInterrupt):
        begun.fit()
    assert read_checkpoint(tmp_path / "other")["round"] == 4
    again = joint(backbone, maps, tmp_path / "other")
    again.watcher = Watcher(lambda stage, done, total: seen.append(done), lambda epoch: None)
    again.fit()
    assert seen == [1, 2, 3, 4, 5, 5, 6, 7, 8]
    assert torch.allclose(weights(again), weights(whole), atol=1e-6)
    assert again.curves == whole.curves


def test_the_trunk_waits_while_heads_know_nothing(backbone, maps, tmp_path):
    run = joint(backbone, maps, tmp_path, rounds=4, alone=0.5)
    before, seen = next(run.trunk.parameters()).clone(), []

    def look(stage, done, total):
        seen.append(torch.equal(next(run.trunk.parameters()), before))

    run.watcher = Watcher(look, lambda epoch: None)
    run.fit()
    assert seen == [True, True, False, False]


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_head(backbone, maps, tmp_path):
    run = joint(backbone, maps, tmp_path)
    nn.init.constant_(run.courses[1].net[1].weight, float("nan"))
    with pytest.raises(InvalidRequestError, match="the loss of other is no number in round 1: try a smaller rate"):
        run.fit()


def test_what_a_teacher_says_differs_by_the_kind_of_answer():
    torch.manual_seed(0)
    logits, vectors = torch.randn(4, 3, 2, 2), torch.randn(4, 8)
    assert difference("logits", logits, logits + 5) == pytest.approx(0, abs=1e-6)  # the same probabilities
    assert difference("logits", logits, -logits) > 0.1
    fine = nn.functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert difference("logits", logits, fine) == pytest.approx(0, abs=1e-6)
    turned = torch.linalg.qr(torch.randn(8, 8)).Q
    assert difference("embedding", vectors, 3 * vectors @ turned) == pytest.approx(0, abs=1e-6)  # the same angles
    assert difference("embedding", vectors, torch.randn(4, 5)) > 0.01
    assert difference("values", vectors, vectors + 2) == pytest.approx(4)


def test_a_classifier_is_fitted_to_what_its_teacher_says(models):
    head = Repository(models).head("imagenet")
    rng = np.random.default_rng(1)
    vectors = rng.gamma(0.3, 1.0, (400, 1280)).astype(np.float32)
    want = logits_of(head, vectors)
    seen = (0.7 * vectors + 0.1).astype(np.float32)  # as another trunk might see them
    net = Classifier(head)

    def agreement():
        with torch.inference_mode():
            return float((net(torch.from_numpy(seen)).numpy().argmax(axis=1) == want.argmax(axis=1)).mean())

    before = agreement()
    assert refitted(net, seen, want) > 0
    assert agreement() > max(before, 0.9)
    same = Classifier(head)
    assert refitted(same, vectors, want) == 0  # nothing is better than what agrees already
