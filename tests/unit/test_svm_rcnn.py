"""The lecture's R-CNN: windows, the problems that are solved, what is learned of maps, and the graph."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset
from torchvision.ops import box_iou

from trunkline.core.errors import InvalidRequestError
from trunkline.heads.detection.learn.svm_boxes import moved
from trunkline.heads.detection.learn.svm_mining import _deltas
from trunkline.heads.detection.learn.svm_rcnn import SvmRcnn
from trunkline.heads.detection.learn.svm_solve import box_regressor, platt, support_vector_machine
from trunkline.heads.detection.learn.windows import fitted_shapes, overlaps, recall, window_grid
from trunkline.serving.session import OnnxSession
from trunkline.training.row_export import check_rows, export_rows

WIDTH, HEIGHT = 192, 160
CHANNELS = {"c3": 4, "c4": 6, "c5": 8}


def _boxes(rng, count, low=24, high=64):
    sides = rng.uniform(low, high, (count, 2))
    corner = rng.uniform(0, 1, (count, 2)) * (np.array([WIDTH, HEIGHT]) - sides)
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


@pytest.mark.parametrize("most", [10, 300, 3000])
def test_windows_are_inside_of_the_picture_and_no_more_than_allowed(most):
    shapes = np.array([[20.0, 30.0], [60.0, 40.0], [300.0, 20.0], [200.0, 200.0]])
    windows = window_grid(shapes, WIDTH, HEIGHT, most)
    assert 4 <= len(windows) <= most
    assert windows.dtype == np.float32
    assert (windows[:, :2] >= 0).all()
    assert (windows[:, 2:] <= [WIDTH, HEIGHT]).all()
    assert (windows[:, 2:] - windows[:, :2] > 1).all()


def test_more_windows_cover_more_of_the_objects():
    rng = np.random.default_rng(0)
    truths = [_boxes(rng, 5) for _ in range(20)]
    all_boxes = np.concatenate(truths)
    shapes = fitted_shapes(all_boxes[:, 2:] - all_boxes[:, :2], 6)
    shares = [recall(window_grid(shapes, WIDTH, HEIGHT, most), truths) for most in (50, 300, 1500)]
    assert shares == sorted(shares)
    assert shares[-1] > 0.97


def test_shapes_are_those_of_the_data():
    rng = np.random.default_rng(0)
    sides = np.concatenate([rng.normal((20, 40), 1, (50, 2)), rng.normal((80, 60), 1, (50, 2))])
    np.testing.assert_allclose(sorted(fitted_shapes(sides, 2).tolist()), [[20, 40], [80, 60]], atol=1)
    assert len(fitted_shapes(np.array([[10.0, 10.0], [10.0, 10.0]]), 5)) == 1


def test_overlaps_are_those_of_torchvision():
    rng = np.random.default_rng(1)
    one, other = _boxes(rng, 30), _boxes(rng, 20)
    want = box_iou(torch.from_numpy(one), torch.from_numpy(other)).numpy()
    np.testing.assert_allclose(overlaps(one, other), want, atol=1e-6)


def test_a_window_moved_by_the_deltas_of_a_box_is_that_box():
    rng = np.random.default_rng(2)
    windows = _boxes(rng, 200)
    boxes = windows + rng.uniform(-4, 4, windows.shape).astype(np.float32)
    deltas = torch.from_numpy(_deltas(windows, boxes).astype(np.float32))
    np.testing.assert_allclose(moved(torch.from_numpy(windows), deltas).numpy(), boxes, atol=1e-3)


def test_the_svm_parts_what_can_be_parted_and_the_regressor_finds_a_line():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(2000, 5))
    weight, bias = support_vector_machine(vectors[vectors[:, 0] > 0.3], vectors[vectors[:, 0] < -0.3])
    found = vectors @ weight + bias > 0
    clear = np.abs(vectors[:, 0]) > 0.3
    assert (found == (vectors[:, 0] > 0))[clear].mean() > 0.98
    truth = rng.normal(size=(4, 5))
    slopes, _ = box_regressor(vectors * 30, vectors * 30 @ truth.T + 2)  # so large that the ridge hardly counts
    np.testing.assert_allclose(slopes, truth, atol=0.01)


def test_platt_finds_the_sigmoid_that_drew_the_hits():
    rng = np.random.default_rng(4)
    decisions = rng.normal(0, 2, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * decisions - 0.5)))
    assert platt(decisions, right) == pytest.approx((1.5, -0.5), abs=0.1)


@pytest.mark.parametrize("right", [np.ones(20, np.bool_), np.zeros(20, np.bool_), np.zeros(0, np.bool_)])
def test_platt_copes_with_answers_that_are_all_right_or_all_wrong_or_none(right):
    slope, offset = platt(np.linspace(-1, 1, len(right)), right)
    assert slope > 0
    probability = 1 / (1 + np.exp(-offset))
    assert probability == pytest.approx(right.mean() if len(right) else 0.5, abs=0.1)


class _Blobs(Dataset):
    """Maps with noise in which objects are raised, those of each class in channels of their own."""

    def __init__(self, count, classes, seed):
        rng = np.random.default_rng(seed)
        self.items = [self._one(rng, classes, int(rng.integers(0, 3))) for _ in range(count)]

    def _one(self, rng, classes, objects):
        boxes, labels = _boxes(rng, objects), rng.integers(0, classes, objects)
        maps = []
        for (_, channels), stride in zip(CHANNELS.items(), (8, 16, 32), strict=True):
            level = rng.normal(0, 0.3, (channels, HEIGHT // stride, WIDTH // stride)).astype(np.float32)
            y, x = (np.arange(size) * stride + stride / 2 for size in level.shape[1:])
            for box, label in zip(boxes, labels, strict=True):
                inside = ((y > box[1]) & (y < box[3]))[:, None] & ((x > box[0]) & (x < box[2]))
                level[label] += 3 * inside
            maps.append(level)
        target = {
            "boxes": torch.from_numpy(boxes),
            "labels": torch.from_numpy(labels) + 1,
            "ignored": torch.zeros(0, 4),
        }
        return maps, target

    def __len__(self):
        return len(self.items)

    def __getitems__(self, indices):
        maps = zip(*(self.items[index][0] for index in indices), strict=True)
        return [torch.from_numpy(np.stack(level)) for level in maps], [self.items[index][1] for index in indices]


def _net(classes=2, most=400):
    sides = np.concatenate([_boxes(np.random.default_rng(5), 200)])
    shapes = fitted_shapes(sides[:, 2:] - sides[:, :2], 5)
    return SvmRcnn(CHANNELS, window_grid(shapes, WIDTH, HEIGHT, most), classes)


@pytest.mark.parametrize("validation", [None, _Blobs(20, 2, 8)])
def test_it_finds_objects_by_their_features_and_the_graph_does_the_same(validation):
    net, told = _net(most=900), []
    facts = net.solve(_Blobs(150, 2, 6), validation, lambda *words: told.append(words[0]))
    assert facts["windows"] == len(net.windows)
    assert {"regions", "hard negatives 1", "calibration"} <= set(told)
    unseen, right, of = _Blobs(30, 2, 7), 0, 0
    for index in range(len(unseen)):
        maps, (truth,) = unseen.__getitems__([index])
        boxes, scores = (each[0] for each in net(*maps))
        assert (scores >= 0).all()
        assert (scores <= 1).all()
        for box, label in zip(truth["boxes"], truth["labels"] - 1, strict=True):
            row = int(scores[:, label].argmax()) if (truth["labels"] - 1 == label).sum() == 1 else None
            if row is not None:
                right += bool(box_iou(boxes[row][None], box[None]) >= 0.5)
                of += 1
    assert of > 10
    assert right / of > 0.5  # any window by chance is as near to an object in one of thirty cases
    maps, _ = unseen.__getitems__([0, 1])
    example = {name: level.numpy() for name, level in zip(CHANNELS, maps, strict=True)}
    session = OnnxSession(export_rows(net, example), "svm")
    assert check_rows(net, session, example) < 1e-4


def test_a_class_without_objects_is_named():
    with pytest.raises(InvalidRequestError, match="class 2 has no object"):
        _net(classes=3).solve(_Blobs(10, 2, 9), None, lambda *words: None)


def test_pictures_without_any_object_are_all_negatives():
    data = _Blobs(40, 1, 10)
    assert any(not len(target["boxes"]) for _, target in data.items)
    assert _net(classes=1).solve(data, None, lambda *words: None)["negatives"][0] > 0
