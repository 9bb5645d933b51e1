"""Tails from ONNX files, small nets, augmentation."""

from typing import get_args

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import torch

from trunkline.core.errors import InvalidRequestError
from trunkline.core.repository import Repository
from trunkline.core.train_choices import Augmentation
from trunkline.serving.session import load_session
from trunkline.training.augment import view_of
from trunkline.training.compute import share_before
from trunkline.training.nets.small import PixelNet, lenet5, plain_cnn
from trunkline.training.nets.tail import Tail


@pytest.fixture(scope="module")
def backbone(models):
    return Repository(models).backbone("efficientnet-lite0")


def test_a_tail_computes_what_the_backbone_does(backbone):
    image = np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3), np.uint8)
    found = load_session(backbone).run({"image": image}, ["c4", "c5", "pooled"])
    with torch.inference_mode():
        c5, pooled = Tail(backbone.read_model(), "c4", ("c5", "pooled"))(torch.from_numpy(found["c4"]))
    assert np.abs(c5.numpy() - found["c5"]).max() < 1e-3
    assert np.abs(pooled.numpy() - found["pooled"]).max() < 1e-3


def test_a_tail_that_does_not_lead_there_is_refused(backbone):
    with pytest.raises(InvalidRequestError, match="c2 cannot be computed from c4"):
        Tail(backbone.read_model(), "c4", ("c2",))


def test_the_share_of_the_compute_grows_with_depth(backbone):
    shares = [
        share_before(backbone.read_model(), feature, ("pooled",), 224, 224) for feature in ("c2", "c3", "c4", "c5")
    ]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5 < shares[-1] < 1


@pytest.mark.parametrize("kind", get_args(Augmentation))
def test_a_view_is_the_same_for_the_same_seed_and_keeps_the_size(kind):
    pixels = np.random.default_rng(1).integers(0, 256, (1, 80, 60, 3), np.uint8)
    pixels.setflags(write=False)
    first, again, other = (view_of(pixels, kind, 64, 48, seed) for seed in (1, 1, 2))
    assert first.shape == (1, 64, 48, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first == other).all() == (kind in ("none", "mirror"))


def test_a_view_leaves_the_random_numbers_of_a_running_fit_alone():
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    view_of(np.zeros((1, 32, 32, 3), np.uint8), "photo", 32, 32, 3)
    assert torch.equal(torch.rand(1), wanted)


def test_a_mirrored_view_is_mirrored():
    pixels = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3), np.uint8)
    assert (view_of(pixels, "mirror", 32, 32, 0) == pixels[:, :, ::-1]).all()


@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 1), (64, 64, 3), (96, 128, 3), (224, 224, 3)])
def test_a_plain_cnn_takes_any_size(height, width, channels):
    body, features = plain_cnn(channels, height, width, 0.1)
    net = PixelNet(body, torch.nn.Linear(features, 5))
    assert net(torch.zeros(2, height, width, channels, dtype=torch.uint8)).shape == (2, 5)


def test_lenet5_has_its_layers():
    body, width = lenet5(1, 0.0)
    assert width == 84
    # 61,706 weights in the original, of which 850 are its output layer and the sparse second stage is dense here.
    assert sum(parameter.numel() for parameter in body.parameters()) == 60_856
