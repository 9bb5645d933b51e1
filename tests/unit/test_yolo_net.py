"""Ultralytics' head on maps of a backbone."""

import os
import sys

import numpy as np
import pytest
import torch

from trunkline.core.errors import ConfigurationError, InvalidRequestError
from trunkline.core.train_request import TrainRequest
from trunkline.heads.detection.learn import Learner
from trunkline.heads.detection.learn.ultralytics_parts import ultralytics_parts
from trunkline.serving.session import OnnxSession
from trunkline.training.row_export import check_rows, export_rows

CHANNELS = {"c3": 40, "c4": 112, "c5": 320}
WIDTH, HEIGHT = 128, 96
NOTHING = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "ignored": torch.zeros(0, 4)}


@pytest.fixture
def net():
    pytest.importorskip("ultralytics", reason="needs the ultralytics extra", exc_type=ImportError)
    from trunkline.heads.detection.learn.yolo import YoloNet

    torch.manual_seed(0)
    return YoloNet(CHANNELS, 2, "light")


def _maps(count):
    torch.manual_seed(1)
    return [
        torch.randn(count, width, HEIGHT // stride, WIDTH // stride)
        for width, stride in zip(CHANNELS.values(), (8, 16, 32), strict=True)
    ]


def _targets():
    objects = {
        "boxes": torch.tensor([[8.0, 8, 56, 40], [64, 32, 120, 90]]),
        "labels": torch.tensor([1, 2]),
        "ignored": torch.zeros(0, 4),
    }
    return [objects, NOTHING]


def test_its_absence_is_said_in_one_line_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ultralytics_parts.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match=r"pip install 'trunkline\[ultralytics\]'"):
            ultralytics_parts()
    finally:
        ultralytics_parts.cache_clear()


def test_it_learns_objects_and_answers_with_them(net):
    maps, targets = _maps(2), _targets()
    optimiser = torch.optim.AdamW(net.parameters(), 5e-3)
    net.train()
    losses = []
    for _ in range(120):
        optimiser.zero_grad()
        loss = sum(net.losses(maps, targets).values())
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    net.eval()
    with torch.inference_mode():
        found, nothing = net.answers(maps)
    assert found["labels"][:2].sort().values.tolist() == [1, 2]
    order = found["labels"][:2].argsort()
    np.testing.assert_allclose(found["boxes"][order], targets[0]["boxes"], atol=6)
    assert not len(nothing["scores"]) or nothing["scores"].max() < found["scores"][:2].min()


def test_the_graph_gives_what_torch_gives(net):
    example = {name: level.numpy() for name, level in zip(CHANNELS, _maps(2), strict=True)}
    session = OnnxSession(export_rows(net, example), "yolo")
    assert check_rows(net, session, example) < 1e-4
    found = session.run({name: value[:1] for name, value in example.items()})
    rows = 16 * 12 + 8 * 6 + 4 * 3
    assert found["boxes"].shape == (1, rows, 4)
    assert found["scores"].shape == (1, rows, 2)


def test_it_is_kept_from_the_home_folder_and_from_hosts(net, tmp_path):
    assert os.environ["YOLO_OFFLINE"] == "true"
    assert os.environ["YOLO_AUTOINSTALL"] == "false"
    assert not sys.modules["ultralytics"].settings["sync"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"net": "yolo", "mode": "scratch"}, "--mode features or transfer or finetune"),
        ({"net": "svm-rcnn", "mode": "finetune"}, "--mode features or transfer"),
        ({"net": "svm-rcnn", "loss": "focal"}, "leave --loss out"),
        ({"net": "lenet5", "mode": "scratch"}, "of detection: one-stage, two-stage, yolo, svm-rcnn"),
    ],
)
def test_a_net_that_does_not_go_with_the_rest_is_refused(fields, word):
    request = TrainRequest(name="x", data="x", task="detection", **fields)
    with pytest.raises(InvalidRequestError, match=word):
        Learner(["thing"], [], request)


def test_the_command_that_repeats_a_run_names_the_net():
    request = TrainRequest(name="x", data="x", task="detection", mode="features", net="svm-rcnn")
    assert "--net svm-rcnn" in request.command()
