"""Attacks stay within their epsilon and do harm; corruptions are repeatable; gradients are of what is served."""

import numpy as np
import pytest
import torch

from trunkline.core.errors import InvalidRequestError
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.serving.session import load_session
from trunkline.training.robustness.attacks import attacked
from trunkline.training.robustness.corruptions import KINDS, corrupted
from trunkline.training.robustness.net import ServedNet


@pytest.fixture(scope="module")
def seen(photos, models) -> np.ndarray:
    """uint8 (3, 224, 224, 3): three photographs as imagenet sees them."""
    spec = Repository(models).head("imagenet").manifest.preprocess
    return np.concatenate([preprocess(EncodedImage(photo.read_bytes()), spec)[0] for photo in photos[:3]])


@pytest.mark.parametrize("name", ["imagenet", "flowers102", "digit-angle"])
def test_the_net_computes_what_is_served(name, seen, models):
    repository = Repository(models)
    head = repository.head(name)
    backbone = repository.backbone(head.manifest.backbone.name)
    if name == "digit-angle":
        with pytest.raises(InvalidRequestError, match="no classifier"):
            ServedNet(head, backbone)
        return
    features = load_session(backbone).run({"image": seen}, list(head.manifest.features))
    expected = load_session(head).run(features)["logits"]  # (N, K)
    found = ServedNet(head, backbone)(torch.from_numpy(seen.astype(np.float32)))
    assert found.numpy() == pytest.approx(expected, abs=2e-4 * float(np.abs(expected).max()))


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
@pytest.mark.parametrize("epsilon", [1.0, 2.5])
def test_an_attack_stays_within_its_epsilon_and_does_harm(attack, epsilon, seen, models):
    repository = Repository(models)
    net = ServedNet(repository.head("imagenet"), repository.backbone("efficientnet-lite0"))
    clean = net(torch.from_numpy(seen.astype(np.float32)))
    labels = clean.argmax(dim=1)
    found = attacked(net, seen, labels.numpy(), attack, epsilon)
    assert (found.dtype, found.shape) == (np.uint8, seen.shape)
    assert np.abs(found.astype(int) - seen).max() <= epsilon
    after = net(torch.from_numpy(found.astype(np.float32)))
    lost = [float(one[label] - other[label]) for one, other, label in zip(clean, after, labels, strict=True)]
    assert min(lost) > 0.5  # logits of the right class


@pytest.mark.parametrize("kind", KINDS)
def test_corruptions_change_more_the_more_severe_they_are(kind, seen):
    changes = []
    for severity in (1, 3, 5):
        found = corrupted(seen[0], kind, severity, seed=7)
        assert (found.dtype, found.shape) == (np.uint8, seen[0].shape)
        assert np.array_equal(found, corrupted(seen[0], kind, severity, seed=7))
        changes.append(float(np.abs(found.astype(float) - seen[0]).mean()))
    assert 0 < changes[0] < changes[1] < changes[2], changes
