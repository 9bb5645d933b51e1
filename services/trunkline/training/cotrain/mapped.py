"""A head whose answers have places: segmentation, detection."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trunkline.core.errors import InvalidRequestError
from trunkline.heads.learner import MapLearner, is_solved, makes_losses
from trunkline.training.annotated import AnnotatedMaps
from trunkline.training.cotrain.course import Batch, Features, in_order, split_at
from trunkline.training.cotrain.teacher import AnswerStore, difference, stacked
from trunkline.training.cotrain.trunk import Trunk
from trunkline.training.features import Stored
from trunkline.training.modes.job import Job
from trunkline.training.modes.mapped import annotated_maps, prepared

_SHARE, _RATE, _DECAY = 8, 1e-3, 1e-2


class MappedCourse:
    """Its net on maps, those of the trunk among them. teacher: sees the views that it sees."""

    chance = 0.0

    def __init__(
        self,
        job: Job,
        learner: MapLearner,
        trunk: Trunk,
        weight: float,
        share: int | None,
        teacher: AnswerStore | None = None,
    ) -> None:
        """Raises InvalidRequestError for a feature that the backbone has not, DataInvalidError for broken data."""
        self.name, self.weight, self.share = job.request.name, weight, share or _SHARE
        job, recipe, self.note = prepared(job, learner)
        self._names, self._learner, self._job = recipe.maps, job.learner, job
        stored, self.wanted = split_at(recipe.maps, trunk.start, trunk.after)
        self._stored = stored
        whole = replace(recipe, features=stored, maps=stored)
        train, validation = annotated_maps(job, learner, whole, parts=teacher is None)
        self._teacher = teacher
        self._taught: list[list[Stored]] = []
        if teacher is not None:
            output = (teacher.output,)
            told = partial(job.watcher.stage, "teacher")
            self._taught = teacher.stored(job.train, replace(recipe, features=output, maps=output), train.views, told)
        self._train: AnnotatedMaps = train
        self._validation: AnnotatedMaps | None = validation
        options = job.request.options
        dropout = job.learner.dropout if options.dropout is None else options.dropout
        self.net = learner.map_net(job.store.widths(self._names), dropout).to(memory_format=torch.channels_last)
        if is_solved(self.net):
            raise InvalidRequestError(
                f"heads.{self.name}: its net is not learned in steps, so it can move no trunk: leave net out"
            )

    def __len__(self) -> int:
        return len(self._train)

    @property
    def metric(self) -> str:
        return self._learner.metric

    def groups(self) -> list[dict[str, Any]]:
        options = self._job.request.options
        rate = options.rate or self._learner.rate or _RATE
        decay = _DECAY if options.weight_decay is None else options.weight_decay
        return [{"params": list(self.net.parameters()), "lr": rate, "weight_decay": decay}]

    def chosen(self, count: int) -> Sequence[int] | None:
        return None

    def batch(self, indices: list[int]) -> Batch:
        views = self._train.any_views(len(indices))
        maps, truth = self._train.of_views(indices, views)
        if self._teacher is not None:
            stored = [self._taught[view][index] for view, index in zip(views, indices, strict=True)]
            truth = (truth, stacked([item.map(self._teacher.output) for item in stored]))
        return Batch(dict(zip(self._stored, maps, strict=True)), truth)

    def loss(self, features: Features, truth: Any) -> Tensor:
        maps = in_order(self._names, features)
        if self._teacher is not None:
            answers = self.net.learn(maps)  # type: ignore[operator]
            return self._learner.loss(answers, truth[0]) + difference(self._teacher.output, answers, truth[1])
        if makes_losses(self.net):
            return torch.stack(list(self.net.losses(maps, truth).values())).sum()
        return self._learner.loss(self.net.learn(maps), truth)  # type: ignore[operator]

    def held_back(self) -> int:
        return 0 if self._validation is None else len(self._validation)

    def held_back_batch(self, indices: list[int]) -> Batch:
        assert self._validation is not None
        maps, truth = self._validation.__getitems__(indices)
        return Batch(dict(zip(self._stored, maps, strict=True)), truth)

    def measure(self) -> Any:
        return self._learner.measure()

    def judged(self, features: Features, truth: Any) -> tuple[Any, Any]:
        maps = in_order(self._names, features)
        if makes_losses(self.net):
            return self.net.answers(maps), truth
        return self.net.learn(maps), truth  # type: ignore[operator]
