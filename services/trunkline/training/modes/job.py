"""What every mode is given, and what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset

from trunkline.core.bundle import BackboneManifest, Bundle
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Epoch, Watcher
from trunkline.core.train_request import TrainRequest
from trunkline.heads.learner import TaskLearner
from trunkline.training.batches import Batch
from trunkline.training.data.dataset import Sample
from trunkline.training.features import FeatureStore, Recipe
from trunkline.training.taught import Teacher


@dataclass(frozen=True)
class Job:
    """A run with everything looked up. work: folder for checkpoints, kept until the run is over.

    begin: weights that the net on maps begins with, where it has learned before: then a part of the steps is enough.
    """

    request: TrainRequest
    learner: TaskLearner
    backbone: Bundle[BackboneManifest]
    train: Sequence[Sample]
    validation: Sequence[Sample]
    store: FeatureStore
    watcher: Watcher
    work: Path
    teacher: Teacher | None = None
    begin: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Fitted:
    """A net that takes `features`, in that order, of pictures preprocessed by `spec`.

    settings: further ones for the manifest. validation: the data that the best epoch was picked by. recipe: how the
    features of the pictures were stored, where they were. card: a section of the card, Markdown.
    """

    net: nn.Module
    features: tuple[str, ...]
    spec: PreprocessSpec
    epochs: list[Epoch]
    settings: dict[str, Any] = field(default_factory=dict)
    notes: str = ""
    validation: Dataset[Batch] | None = None
    recipe: Recipe | None = None
    card: str = ""


def batch_of(job: Job, usual: int) -> int:
    """Pictures in a step: what was asked for, what the task wants, or what is usual in the mode."""
    return job.request.options.batch or job.learner.batch or usual


def truths(job: Job) -> tuple[np.ndarray, np.ndarray | None]:
    """Of the training samples and, where there are any, of the validation samples."""
    validation = job.learner.truth(job.validation) if job.validation else None
    return job.learner.truth(job.train), validation
