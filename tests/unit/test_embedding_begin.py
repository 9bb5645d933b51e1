"""An embedding layer begins as a projection that keeps what the features tell apart."""

import pytest
import torch

from trunkline.core.train_request import TrainRequest
from trunkline.heads.similarity.learn.learner import WIDTH, Learner


def learner(loss: str) -> Learner:
    request = TrainRequest(name="a", data="a", task="similarity", mode="features", loss=loss)
    found = Learner(["a", "b", "c"], (), request)
    found.prepare([type("S", (), {"label": label})() for label in range(3)])
    return found


def clouds(width: int, each: int) -> torch.Tensor:
    """float32 (3 * each, width): three classes in a few directions, of mean 0."""
    torch.manual_seed(3)
    centres = torch.randn(3, 1, width)
    made = (centres + 0.3 * torch.randn(3, each, width)).flatten(0, 1)
    return made - made.mean(dim=0)


def cosines(vectors: torch.Tensor) -> torch.Tensor:
    unit = torch.nn.functional.normalize(vectors, dim=1)
    return unit @ unit.T


@pytest.mark.parametrize(("width", "each"), [(256, 200), (256, 8), (64, 100)])
def test_it_keeps_directions_and_lengths_about_one(width, each):
    found, vectors = learner("triplet"), clouds(width, each)
    layer = found.answer_layer(width)
    found.begun(layer, lambda: vectors, None, 0.01)
    answers = layer(vectors)
    assert answers.shape == (3 * each, WIDTH)
    assert answers.norm(dim=1).mean().item() == pytest.approx(1, abs=0.05)
    if each == 8 or width < WIDTH:  # no more components than outputs: nothing is lost
        assert (cosines(answers) - cosines(vectors)).abs().max() < 0.02
    assert torch.corrcoef(torch.stack([cosines(answers).flatten(), cosines(vectors).flatten()]))[0, 1] > 0.98


def test_vectors_of_classes_learn_faster_than_the_layer():
    found, vectors = learner("proxy_anchor"), clouds(64, 20)
    layer = found.answer_layer(64)
    slow, fast = found.begun(layer, lambda: vectors, None, 0.01)
    assert fast["lr"] == 100 * slow["lr"]
    assert [tuple(each.shape) for each in fast["params"]] == [(3, WIDTH)]
    assert {tuple(each.shape) for each in slow["params"]} == {(WIDTH, 64), (WIDTH,)}
    assert found.begun(layer, lambda: vectors, 0.5, 0.01)[0]["lr"] == 0.5


def test_what_never_changes_begins_without_a_fault():
    found = learner("triplet")
    layer = found.answer_layer(16)
    found.begun(layer, lambda: torch.zeros(10, 16), None, 0.01)
    assert torch.isfinite(layer(torch.ones(2, 16))).all()
