"""Weights averaged over the latest steps, where a net has losses of its own."""

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

import torch
from torch import nn

from trunkline.core.progress import Watcher
from trunkline.heads.learner import TaskNet
from trunkline.training.fit import Plan, fit

STEPS = 40  # of an epoch


class Drifting(TaskNet):
    """A weight that grows in each step, and a batch norm that knows the number of the last one alone."""

    makes_losses = True

    def __init__(self, stops_at=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm1d(1, momentum=1.0, affine=False)
        self.seen, self._stops_at = [], stops_at

    def losses(self, inputs, truth):
        if len(self.seen) == self._stops_at:
            raise KeyboardInterrupt
        self.norm(torch.full_like(inputs, len(self.seen)))
        self.seen.append(float(self.weight.detach()))
        return {"drift": -self.weight.sum()}

    def answers(self, inputs):
        return inputs


class Learner:
    metric = "none"
    random_batches = True

    def measure(self):
        return nn.Identity()


class Nothing(torch.utils.data.Dataset):
    def __len__(self):
        return 2 * STEPS

    def __getitems__(self, indices):
        return torch.zeros(len(indices), 1), torch.zeros(len(indices))


def fitted(net, folder, epochs):
    plan = Plan(epochs, 2, [{"params": [net.weight], "lr": 0.1, "weight_decay": 0.0}])
    fit(net, Learner(), Nothing(), None, plan, Watcher(lambda *told: None, lambda epoch: None), folder)
    return net


def test_weights_and_norms_are_averages_of_the_latest_steps(tmp_path):
    net = fitted(Drifting(), tmp_path, 1)
    assert len(net.seen) == STEPS
    assert net.seen[STEPS // 2] < float(net.weight.detach()) < net.seen[-1]
    assert STEPS / 2 < float(net.norm.running_mean) < STEPS - 2


def test_a_run_that_goes_on_ends_with_the_same_average(tmp_path):
    whole = fitted(Drifting(), tmp_path / "whole", 3)
    with pytest.raises(KeyboardInterrupt):
        fitted(Drifting(stops_at=STEPS + STEPS // 2), tmp_path / "two", 3)
    rest = fitted(Drifting(), tmp_path / "two", 3)
    assert len(rest.seen) == 2 * STEPS
    torch.testing.assert_close(rest.weight, whole.weight)
