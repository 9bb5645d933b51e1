"""Modes `features` and `transfer`: a small net on averaged features, the backbone as it is.

`features` sees each picture and its mirror image; `transfer` sees many augmented views, one of them at a time. Both
get their features through ONNX Runtime, once for each view.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Epoch
from trunkline.core.train_choices import Augmentation
from trunkline.core.train_request import FitOptions
from trunkline.training.batches import VectorBatches
from trunkline.training.data.dataset import Sample
from trunkline.training.features import Recipe, Stored
from trunkline.training.fit import Plan, fit
from trunkline.training.modes.job import Fitted, Job, truths
from trunkline.training.nets.pooled import PooledNet

FEATURES = ("c4", "c5", "pooled")
SPEC = PreprocessSpec(resize="squash", width=288, height=288)
_DROPOUT = 0.5
_RATE, _WEIGHT_DECAY = 1e-3, 3.0
_STEPS = {"features": 2000, "transfer": 4000, "finetune": 500}
_VIEWS = {"features": 2, "transfer": 10, "finetune": 10}
_SMALLEST_BATCH, _LARGEST_BATCH = 16, 128


@dataclass(frozen=True)
class Small:
    """The small net as it was fitted. stored: the validation samples, in the one view that they have."""

    net: PooledNet
    epochs: list[Epoch]
    validation: VectorBatches | None
    stored: list[list[Stored]]


def train_pooled(job: Job) -> Fitted:
    """Raises InvalidRequestError for a feature that the backbone has not, DataInvalidError for a broken picture."""
    recipe = recipe_of(job, tuple(job.store.widths(job.request.features or FEATURES)))
    small = fit_pooled(job, recipe, views_stored(job, job.train, recipe, views_of(job)), job.request.options)
    return Fitted(small.net, recipe.features, recipe.spec, small.epochs, validation=small.validation, recipe=recipe)


def recipe_of(job: Job, features: tuple[str, ...], maps: tuple[str, ...] = ()) -> Recipe:
    """The features with what the request, the mode and the task say about views."""
    spec = job.request.spec or SPEC
    return Recipe(features, spec, augmentation_of(job, spec), job.request.options.seed, maps)


def augmentation_of(job: Job, spec: PreprocessSpec) -> Augmentation:
    """What was asked for, or what suits mode and task. Drawings in gray are not photographs: none."""
    asked = job.request.augmentation
    if asked == "pasted" and any(sample.objects is None for sample in job.train):
        raise InvalidRequestError("augmentation 'pasted' lays objects over other pictures: the data has none")
    if asked is not None:
        return asked
    if job.learner.augmentation == "none" or spec.colour == "L":
        return "none"
    return "mirror" if job.request.mode == "features" else job.learner.augmentation


def views_of(job: Job) -> int:
    if job.request.views is not None:
        return job.request.views
    plain = augmentation_of(job, job.request.spec or SPEC) == "none"
    return 1 if plain else _VIEWS[job.request.mode]


def views_stored(job: Job, samples: Sequence[Sample], recipe: Recipe, views: int) -> list[list[Stored]]:
    return job.store.stored(samples, recipe, views, lambda done, total: job.watcher.stage("features", done, total))


def fit_pooled(job: Job, recipe: Recipe, stored: list[list[Stored]], options: FitOptions) -> Small:
    """Fit the small net on the vectors of stored views."""
    truth, validation_truth = truths(job)
    train = VectorBatches(stored, truth)
    validation, seen = None, views_stored(job, job.validation, recipe, 1)
    if validation_truth is not None:
        validation = VectorBatches(seen, validation_truth)
    widths = job.store.widths(recipe.features)
    dropout = _DROPOUT if options.dropout is None else options.dropout
    net = PooledNet(widths, job.learner.answer_layer(sum(widths.values())), dropout)
    net.standardise(train.vectors.flatten(0, 1))
    decay = _WEIGHT_DECAY if options.weight_decay is None else options.weight_decay
    groups = [{"params": list(net.parameters()), "lr": options.rate or _RATE, "weight_decay": decay}]
    layer, vectors = net.answer[-1], partial(_standardised, net, train)
    groups = job.learner.begun(layer, vectors, options.rate, decay) or groups
    asked = options.batch or job.learner.batch
    batch, epochs = length(len(truth), _STEPS[job.request.mode], asked, options.epochs)
    plan = Plan(epochs, batch, groups, "small")
    curve = fit(net, job.learner, train, validation, plan, job.watcher, job.work)
    return Small(net, curve, validation, seen)


def _standardised(net: PooledNet, train: VectorBatches) -> Tensor:
    return net.standardised(train.vectors.flatten(0, 1))


def length(samples: int, steps: int, batch: int | None, epochs: int | None) -> tuple[int, int]:
    """Batch size and epochs: as many as give `steps` steps, since a small data set has few steps in an epoch."""
    size = batch or min(_LARGEST_BATCH, max(_SMALLEST_BATCH, samples // 32))
    return size, epochs or math.ceil(steps / math.ceil(samples / size))
