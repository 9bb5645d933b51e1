"""The one-stage detector: which places learn, what they lose, and what the net answers."""

import numpy as np
import pytest
import torch

from trunkline.core.errors import InvalidRequestError
from trunkline.core.train_request import TrainRequest
from trunkline.heads.detection.learn import Learner
from trunkline.heads.detection.learn.assignment import assign
from trunkline.heads.detection.learn.dense_losses import box_loss, distribution_focal, quality_focal
from trunkline.heads.detection.learn.one_stage import OneStage
from trunkline.heads.detection.learn.sizes import DenseSize
from trunkline.serving.session import OnnxSession
from trunkline.training.row_export import check_rows, export_rows

CHANNELS = {"c2": 8, "c3": 12, "c4": 16, "c5": 24}
WIDTH, HEIGHT = 128, 96
SMALL = DenseSize(32, 1, 1, answered=50)
BOXES = torch.tensor([[8.0, 8, 56, 40], [64, 32, 120, 90]])


def _maps(count):
    torch.manual_seed(1)
    return [
        torch.randn(count, width, HEIGHT // stride, WIDTH // stride)
        for width, stride in zip(CHANNELS.values(), (4, 8, 16, 32), strict=True)
    ]


def _targets(*, ignored=None):
    """Two objects, a disc in the first box and the whole of the second, and a picture with nothing."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    disc = ((x - 32) / 24) ** 2 + ((y - 24) / 16) ** 2 < 1
    whole = (x > 64) & (x < 120) & (y > 32) & (y < 90)
    none = torch.zeros(0, 4)
    objects = {"boxes": BOXES, "labels": torch.tensor([1, 2]), "masks": torch.stack([disc, whole]).to(torch.uint8)}
    nothing = {"boxes": none, "labels": torch.zeros(0, dtype=torch.int64), "masks": torch.zeros(0, HEIGHT, WIDTH)}
    objects["outlined"], nothing["outlined"] = torch.tensor([True, True]), torch.zeros(0, dtype=torch.bool)
    return [objects | {"ignored": none if ignored is None else ignored}, nothing | {"ignored": none}]


def _net(cells=None):
    torch.manual_seed(0)
    return OneStage(CHANNELS, 2, SMALL, (HEIGHT, WIDTH), cells)


@pytest.fixture(scope="module")
def learned():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a net waits for threads longer than it computes
    net, maps, targets = _net((28, 28)).train(), _maps(2), _targets()
    optimiser = torch.optim.AdamW(net.parameters(), 1e-2)
    losses = []
    for _ in range(70):
        optimiser.zero_grad()
        loss = sum(net.losses(maps, targets).values())
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    torch.set_num_threads(threads)
    assert losses[-1] < 0.4 * losses[0]
    return net.eval()


def _places():
    centres = torch.tensor([[4.0, 4], [20, 20], [36, 20], [100, 100]])
    around = torch.tensor([[10.0, 10, 30, 30], [10, 10, 30, 30], [26, 10, 46, 30], [90, 90, 110, 110]])
    return centres, around


def test_places_within_an_object_learn_it_and_each_learns_one():
    centres, boxes = _places()
    objects = torch.tensor([[10.0, 10, 30, 30], [28, 10, 48, 30]])
    assigned = assign(torch.full((4, 1), 0.5), boxes, centres, objects, torch.zeros(2, dtype=torch.int64))
    # The first has the very box of the first object, but its centre lies elsewhere.
    assert assigned.of.tolist() == [-1, 0, 1, -1]
    shared = 18 / 22
    np.testing.assert_allclose(assigned.quality, [0, 1, shared, 0], atol=1e-5)


def test_of_two_places_that_score_alike_the_better_box_is_to_score_higher():
    centres = torch.tensor([[20.0, 20], [20, 20]])
    boxes = torch.tensor([[10.0, 10, 30, 30], [10, 10, 30, 20]])
    objects = torch.tensor([[10.0, 10, 30, 30]])
    assigned = assign(torch.full((2, 1), 0.5), boxes, centres, objects, torch.zeros(1, dtype=torch.int64))
    np.testing.assert_allclose(assigned.quality, [1, 0.5**6], atol=1e-5)


def test_an_object_smaller_than_the_distance_of_places_is_learned():
    centres = torch.tensor([[4.0, 4], [12, 4], [4, 12], [12, 12]])
    boxes = torch.cat([centres - 4, centres + 4], dim=1)
    objects = torch.tensor([[6.0, 6, 10, 10]])
    assigned = assign(torch.full((4, 1), 0.01), boxes, centres, objects, torch.zeros(1, dtype=torch.int64))
    assert (assigned.of == 0).any()


def test_nothing_is_assigned_where_nothing_is():
    centres, boxes = _places()
    none = assign(torch.full((4, 1), 0.5), boxes, centres, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert none.of.tolist() == [-1] * 4
    assert none.quality.sum() == 0


def test_losses_are_nothing_where_all_is_right():
    logits = torch.tensor([[0.0, -30, 30]])
    assert quality_focal(logits, torch.tensor([[0.5, 0, 1]])).sum() == pytest.approx(0, abs=1e-6)
    assert quality_focal(logits, torch.tensor([[0.5, 1, 1]])).sum() == pytest.approx(30, rel=1e-3)
    sure = torch.full((1, 4, 5), -50.0)
    sure[:, :, 3] = 50
    assert distribution_focal(sure, torch.full((1, 4), 3.0)) == pytest.approx(0, abs=1e-5)
    assert distribution_focal(sure, torch.full((1, 4), 1.0)) == pytest.approx(100)
    assert box_loss(BOXES, BOXES).sum() == pytest.approx(0, abs=1e-5)


def test_boxes_begin_about_as_large_as_objects_of_their_level_are():
    with torch.inference_mode():
        found = _net().eval()(*(each[:1] for each in _maps(2)))[0][0]
    sides = found[:, 2:] - found[:, :2]
    strides = torch.tensor([8.0, 16, 32])
    assert (sides[..., None] / strides / 4 - 1).abs().amin(dim=2).max() < 0.25


def test_a_region_that_is_ignored_is_no_background():
    net, maps = _net(), _maps(2)
    everywhere = torch.tensor([[0.0, 0, WIDTH, HEIGHT]])
    for change in (0.0, 5.0):  # every place scores high in the second round
        net.scores.bias.data.fill_(change)
        counted = net.losses(maps, _targets())["score"]
        ignored = net.losses(maps, _targets(ignored=everywhere))["score"]
        assert ignored < counted


def test_it_learns_objects_and_answers_with_them(learned):
    with torch.inference_mode():
        found, nothing = learned.answers(_maps(2))
    assert found["labels"][:2].sort().values.tolist() == [1, 2]
    order = found["labels"][:2].argsort()
    np.testing.assert_allclose(found["boxes"][order], BOXES, atol=6)
    assert not len(nothing["scores"]) or nothing["scores"].max() < found["scores"][:2].min()


def test_it_learns_their_outlines(learned):
    with torch.inference_mode():
        boxes, scores, masks = learned(*(each[:1] for each in _maps(2)))
    assert masks.shape[1:] == (boxes.shape[1], 28, 28)
    disc, whole = (masks[0, scores[0, :, label].argmax()] > 0.5 for label in (0, 1))
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 28)] * 2, indexing="ij")
    assert (disc == (x**2 + y**2 < 1)).float().mean() > 0.9
    assert whole.float().mean() > 0.9


def test_objects_without_an_outline_teach_none():
    net, maps, targets = _net((14, 14)), _maps(2), _targets()
    assert net.losses(maps, targets)["mask"] > 0
    targets[0]["outlined"][:] = False
    assert net.losses(maps, targets)["mask"] == 0


@pytest.mark.parametrize("outlined", [False, True])
def test_the_graph_gives_what_torch_gives(learned, outlined):
    net = learned if outlined else _net().eval()
    example = {name: level.numpy() for name, level in zip(CHANNELS, _maps(2), strict=True)}
    session = OnnxSession(export_rows(net, example), "one-stage")
    assert check_rows(net, session, example) < 1e-4
    found = session.run({name: value[:1] for name, value in example.items()})
    assert found["boxes"].shape[1] <= SMALL.answered
    assert found["scores"].shape == (*found["boxes"].shape[:2], 2)
    assert ("masks" in found) == outlined


def test_the_graph_gives_no_outline_where_nothing_is():
    net = _net((14, 14)).eval()
    net.scores.bias.data.fill_(-9)
    example = {name: level.numpy() for name, level in zip(CHANNELS, _maps(2), strict=True)}
    found = OnnxSession(export_rows(net, example), "one-stage").run(
        {name: value[:1] for name, value in example.items()}
    )
    assert {name: value.shape for name, value in found.items()} == {
        "boxes": (1, 0, 4),
        "scores": (1, 0, 2),
        "masks": (1, 0, 14, 14),
    }


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"net": "one-stage", "mode": "scratch"}, "--mode features or transfer or finetune"),
        ({"mode": "transfer", "loss": "focal"}, "--net two-stage"),
    ],
)
def test_a_request_that_does_not_go_with_it_is_refused(fields, word):
    with pytest.raises(InvalidRequestError, match=word):
        Learner(["thing"], [], TrainRequest(name="x", data="x", task="detection", **fields))
