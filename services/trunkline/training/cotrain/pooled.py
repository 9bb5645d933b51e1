"""A head whose answer is about the picture as a whole: classification, regression, similarity."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trunkline.training.cotrain.course import Batch, Features, in_order, split_at
from trunkline.training.cotrain.stored_maps import StoredMaps
from trunkline.training.cotrain.teacher import AnswerStore, difference, stacked
from trunkline.training.cotrain.trunk import Trunk
from trunkline.training.features import Recipe
from trunkline.training.modes.job import Job
from trunkline.training.modes.pooled import FEATURES, recipe_of, views_of, views_stored
from trunkline.training.nets.pooled import PooledNet, averaged

_SHARE, _SHARE_OF_PAIRS = 16, 32
_EACH = 4  # pictures of a class in a batch of pairs
_DROPOUT, _RATE, _DECAY = 0.5, 5e-4, 3.0  # of the net, as beside a private tail


class PooledCourse:
    """A small net on averaged features. Mode `pretrained` of similarity has none: the features themselves are judged.

    They are then learned with the prototypical loss, which needs no vector of any class.
    """

    def __init__(
        self, job: Job, trunk: Trunk, weight: float, share: int | None, teacher: AnswerStore | None = None
    ) -> None:
        """teacher: sees each picture as it is, in its own preprocessing.

        Raises InvalidRequestError for a feature that the backbone has not, DataInvalidError for broken data.
        """
        request, learner = job.request, job.learner
        self._plain = request.mode == "pretrained"
        self.name, self.weight = request.name, weight
        self.share = share or (_SHARE if learner.random_batches else _SHARE_OF_PAIRS)
        # Features as they are may tell the classes of a batch apart from the first round on.
        self.chance = math.log(max(2, self.share // _EACH)) if self._plain else 0.0
        widths = job.store.widths(request.features or (("pooled",) if self._plain else FEATURES))
        self._names, self._learner = tuple(widths), learner
        stored, self.wanted = split_at(self._names, trunk.start, trunk.after)
        recipe = recipe_of(job, self._names, maps=stored)
        if self._plain:
            recipe = replace(recipe, augmentation="mirror")
        views = views_stored(job, job.train, recipe, 2 if self._plain else views_of(job))
        self._maps, self._truth = StoredMaps(views, stored), torch.from_numpy(learner.truth(job.train))
        held = views_stored(job, job.validation, recipe, 1) if job.validation else None
        self._held = StoredMaps(held, stored) if held else None
        self._held_truth = torch.from_numpy(learner.truth(job.validation)) if job.validation else None
        self._net = self._made(job, widths, views)
        self.net: nn.Module = self._net
        self._output, self._taught = learner.output, torch.zeros(0)
        if teacher is not None:
            recipe = Recipe((teacher.output,), teacher.spec)
            answered = teacher.stored(job.train, recipe, 1, partial(job.watcher.stage, "teacher"))[0]
            self._taught = stacked([item.vector() for item in answered])

    def __len__(self) -> int:
        return len(self._truth)

    @property
    def metric(self) -> str:
        return self._learner.metric

    def groups(self) -> list[dict[str, Any]]:
        return self._groups

    def chosen(self, count: int) -> Sequence[int] | None:
        if self._learner.random_batches:
            return None
        found: Sequence[int] = next(iter(self._learner.batches(self._truth, count, 1, fixed=False)))
        return found

    def batch(self, indices: list[int]) -> Batch:
        at = torch.tensor(indices)
        taught = self._taught[at] if len(self._taught) else None
        return Batch(self._maps.maps(indices, self._maps.any_view(len(indices))), (self._truth[at], taught))

    def loss(self, features: Features, truth: tuple[Tensor, Tensor | None]) -> Tensor:
        known, taught = truth
        answers, _ = self.judged(features, known)
        loss = (self._learner.validation_loss if self._plain else self._learner.loss)(answers, known)
        return loss if taught is None else loss + difference(self._output, answers, taught)

    def held_back(self) -> int:
        return 0 if self._held is None else len(self._held)

    def held_back_batch(self, indices: list[int]) -> Batch:
        assert self._held is not None
        assert self._held_truth is not None
        return Batch(self._held.maps(indices, [0] * len(indices)), self._held_truth[torch.tensor(indices)])

    def measure(self) -> Any:
        return self._learner.measure()

    def judged(self, features: Features, truth: Tensor) -> tuple[Tensor, Tensor]:
        levels = [averaged(level) for level in in_order(self._names, features)]
        return self._net.learn(torch.cat(levels, dim=1)), truth

    def _made(self, job: Job, widths: dict[str, int], views: Sequence[Sequence[Any]]) -> PooledNet:
        options = job.request.options
        dropout = _DROPOUT if options.dropout is None else options.dropout
        self._groups: list[dict[str, Any]] = []
        if self._plain:
            return PooledNet(widths, nn.Identity(), 0.0)
        net = PooledNet(widths, job.learner.answer_layer(sum(widths.values())), dropout)
        vectors = torch.from_numpy(np.stack([item.vector() for view in views for item in view]))
        net.standardise(vectors)
        decay = _DECAY if options.weight_decay is None else options.weight_decay
        groups = [{"params": list(net.parameters()), "lr": options.rate or _RATE, "weight_decay": decay}]
        begun = job.learner.begun(net.answer[-1], lambda: net.standardised(vectors), options.rate, decay)
        self._groups = begun or groups
        return net
