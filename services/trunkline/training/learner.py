"""What training asks of a task: `heads/<task>/learn.py` defines a class `Learner` of this shape.

The ways to train (`modes/`) know no task: they fit a net that ends in the task's answer layer.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torchmetrics
from PIL import Image
from torch import Tensor, nn

from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import Result
from trunkline.core.train_choices import Augmentation
from trunkline.training.early import require_trainable


class Truth(Protocol):
    """What is known of a sample: `trunkline.training.data.dataset.Sample` is one."""

    @property
    def label(self) -> int | None: ...

    @property
    def targets(self) -> tuple[float, ...]: ...


class Scores(Protocol):
    """What answers are worth, and how people see it."""

    def metrics(self) -> dict[str, float]:
        """By the names that `trunkline evaluate` prints; shares are 0 to 1."""
        ...

    def card(self) -> str:
        """Markdown for the card: intervals and tables."""
        ...

    def draw(self, folder: Path) -> list[str]:
        """Write pictures of the scores into the folder. Returns their file names."""
        ...

    def best_and_worst(self, count: int) -> tuple[list[int], list[int]]:
        """Indices of samples to show: answers that were best, and those that were worst."""
        ...

    def caption(self, index: int) -> str:
        """One or two lines about the answer to a sample."""
        ...

    def overlay(self, index: int, picture: Image.Image) -> Image.Image:
        """The picture of a sample, upright RGB, with its answer drawn where the answer has a place."""
        ...


class TaskLearner(Protocol):
    """One task on one data set.

    output: name of the head's output. metric: name of what `measure` measures.
    augmentation: kind that keeps the truth of a sample true. dropout: share in nets that are trained from scratch.
    """

    output: ClassVar[str]
    metric: ClassVar[str]
    augmentation: ClassVar[Augmentation]
    dropout: ClassVar[float]

    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: "Any") -> None:
        """options: the TrainRequest. Raises InvalidRequestError where the data has nothing to learn for this task."""
        ...

    def prepare(self, samples: Sequence[Truth]) -> None:
        """Learn what depends on the training data: class weights, scales."""
        ...

    def truth(self, samples: Sequence[Truth]) -> np.ndarray:
        """int64 (N,) or float32 (N, ...)."""
        ...

    def answer_layer(self, width: int) -> nn.Module:
        """Vectors float32 (N, width) -> what `decode` of the head takes. After `prepare`."""
        ...

    def loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """Scalar. answers: of the answer layer."""
        ...

    def measure(self) -> torchmetrics.Metric:
        """Metric to be updated with (answers, truth)."""
        ...

    def settings(self) -> dict[str, Any]:
        """`settings` of the manifest."""
        ...

    def calibrate(self, answers: Tensor, truth: Tensor) -> dict[str, Any]:
        """Further `settings`, fitted on answers to validation samples; {} where there is nothing to fit."""
        ...

    def scores(self, answers: Sequence[Result], samples: Sequence[Truth]) -> Scores: ...


@runtime_checkable
class MapLearner(Protocol):
    """A task whose answers have places: what a TaskLearner offers beside.

    maps: features that its net takes. spec: preprocessing where none is asked for; after `prepare`.
    """

    @property
    def maps(self) -> tuple[str, ...]: ...

    @property
    def spec(self) -> PreprocessSpec: ...

    def annotation(self, sample: Any, frame: Frame) -> Any:
        """What is known of a sample, in the frame of the model: a tv_tensor, or a dict of several.

        Raises DataInvalidError that names the file.
        """
        ...

    def collate(self, annotations: Sequence[Any]) -> Any:
        """The truth of a batch, as `loss` takes it."""
        ...

    def map_net(self, channels: Mapping[str, int], dropout: float) -> nn.Module:
        """Maps float32 (N, C, H, W) in this order -> answers: forward(*maps), and learn(maps) for a list."""
        ...

    def pixel_net(self, channels: int) -> nn.Module:
        """`image` uint8 (N, H, W, C) -> answers: forward(image), and learn(image)."""
        ...


@runtime_checkable
class Paced(Protocol):
    """A task that is learned at a pace of its own: pictures in a step, steps by mode, learning rate."""

    @property
    def batch(self) -> int: ...

    @property
    def rate(self) -> float: ...

    @property
    def steps(self) -> Mapping[str, int]: ...


@runtime_checkable
class Asking(Protocol):
    """A task whose head is asked with parameters when it is measured."""

    def params(self) -> dict[str, Any]: ...


@runtime_checkable
class LossNet(Protocol):
    """A net that makes its own losses, as what they are of is chosen on the way.

    They are drawn at random, so the best epoch is the one of the largest metric, not of the least loss.
    """

    def losses(self, inputs: Any, truth: Any) -> Mapping[str, Tensor]:
        """Scalars by name, to be added up. truth: of `collate`."""
        ...

    def answers(self, inputs: Any) -> Any:
        """What `measure` of the learner takes."""
        ...


@runtime_checkable
class SolvedNet(Protocol):
    """A net whose weights are solved for, from all data at once, not learned in steps."""

    def solve(self, train: Any, validation: Any | None, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
        """Find the weights. The data is as `fit` has it. Returns settings for the manifest.

        progress: of a named stage, done and of all. Raises InvalidRequestError where there is too little data.
        """
        ...


@runtime_checkable
class RowNet(Protocol):
    """A net that gives rows for one picture at a time, another number for each picture.

    outputs: names of what `forward` returns, (1, M, ...) each.
    """

    outputs: tuple[str, ...]

    def difference(self, want: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> float:
        """Of the outputs of two runtimes, relative to the largest value; rows may have changed places."""
        ...


@runtime_checkable
class PairLearner(Protocol):
    """A task that learns what is alike, from pictures within a batch: what a TaskLearner offers beside.

    batch: pictures in a step. net, spec: of mode scratch. Each where nothing else is asked for.
    """

    batch: ClassVar[int]
    net: ClassVar[str]
    spec: ClassVar[PreprocessSpec]

    def begun(self, layer: nn.Module, vectors: Tensor, rate: float | None, decay: float) -> list[dict[str, Any]]:
        """Begin an answer layer with what the features float32 (N, width) of the training pictures say already.

        Returns the groups of parameters for the optimiser.
        """
        ...

    def batches(self, truth: Tensor, size: int, steps: int, *, fixed: bool) -> Iterable[list[int]]:
        """Indices of `steps` batches of about `size`, in which there is something to compare; `fixed` ones stay."""
        ...

    def validation_loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """Scalar, for classes that may be others than those that are learned."""
        ...

    def further_classes(self, pixels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pictures uint8 (N, H, W, C) and truth, with classes that are made from them, where such were asked for."""
        ...

    def scores_in(
        self, ask: Callable[[Sequence[Any]], Sequence[Result]], samples: Sequence[Any], dataset: Any
    ) -> Scores:
        """Scores of a head on samples of a data set; `ask` answers for any of its samples."""
        ...


def learner_class(task: str) -> type[TaskLearner]:
    """Raises InvalidRequestError for a task that does not exist or cannot be trained."""
    require_trainable(task)
    found: type[TaskLearner] = importlib.import_module(f"trunkline.heads.{task}.learn").Learner
    return found
