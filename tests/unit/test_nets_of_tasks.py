"""A net or a learner that lacks what it says of itself is refused where it is defined, not in the middle of a run."""

import pytest

from trunkline.heads.learner import TaskLearner, TaskNet
from trunkline.training import learner


@pytest.mark.parametrize(
    ("says", "lacks"),
    [
        ({"makes_losses": True}, "losses"),
        ({"makes_losses": True, "losses": lambda self, inputs, truth: {}}, "answers"),
        ({"is_solved": True}, "solve"),
        ({"outputs": ("boxes",)}, "difference"),
    ],
)
def test_a_net_without_a_method_that_it_needs_is_no_net(says, lacks):
    with pytest.raises(TypeError, match=f"net Odd needs the method {lacks}"):
        type("Odd", (TaskNet,), says)


def test_a_learner_of_likenesses_without_batches_is_refused(monkeypatch):
    from trunkline.heads.similarity import learn

    monkeypatch.setattr(learn.Learner, "batches", TaskLearner.batches)
    with pytest.raises(TypeError, match="'similarity' needs the method batches"):
        learner.learner_class("similarity")
