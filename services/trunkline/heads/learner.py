"""What training asks of a task: `heads/<task>/learn.py` defines a class `Learner` below TaskLearner or MapLearner.

The ways to train (`modes/`) know no task: they fit a net that ends in the task's answer layer.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeGuard

import numpy as np
import torchmetrics
from PIL import Image
from torch import Tensor, nn

from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import Result
from trunkline.core.train_choices import Augmentation
from trunkline.heads.pictures import Completed, Pictures


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


class TaskLearner(ABC):
    """One task on one data set.

    output: name of the head's output. metric: name of what `measure` measures.
    augmentation: kind that keeps the truth of a sample true. dropout: share in nets that are trained from scratch.
    batch, rate, steps: pictures in a step, learning rate, and steps by mode, where the task has a pace of its own.
    net, scratch_spec: of mode scratch, where nothing else is asked for.
    keeps_classes: whether the head answers with the classes of the data, which are its labels then.
    random_batches: whether a step takes any samples, else those that `batches` chooses.
    """

    output: ClassVar[str]
    metric: ClassVar[str]
    augmentation: ClassVar[Augmentation] = "none"
    dropout: ClassVar[float] = 0.3
    net: ClassVar[str] = "cnn"
    scratch_spec: ClassVar[PreprocessSpec | None] = None
    keeps_classes: ClassVar[bool] = True
    random_batches: ClassVar[bool] = True
    batch: int | None = None
    rate: float | None = None
    steps: Mapping[str, int] | None = None

    @abstractmethod
    def __init__(self, classes: Sequence[str], targets: Sequence[str], options: Any) -> None:
        """options: the TrainRequest. Raises InvalidRequestError where the data has nothing to learn for this task."""

    def look(self, dataset: Any, rows: Callable[[str], Sequence[Mapping[str, str]]]) -> None:  # noqa: B027  the same
        """Take from the data set what no sample of it says.

        rows: those of a CSV file in its folder, by its name, or of its own for "". Raises InvalidRequestError and
        DataInvalidError.
        """

    def prepare(self, samples: Sequence[Any]) -> None:  # noqa: B027  few tasks have nothing of the kind
        """Learn what depends on the training data: class weights, scales."""

    @abstractmethod
    def truth(self, samples: Sequence[Any]) -> np.ndarray:
        """int64 (N,) or float32 (N, ...)."""

    @abstractmethod
    def answer_layer(self, width: int) -> nn.Module:
        """Vectors float32 (N, width) -> what `decode` of the head takes. After `prepare`."""

    @abstractmethod
    def loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """Scalar. answers: of the answer layer."""

    def validation_loss(self, answers: Tensor, truth: Tensor) -> Tensor:
        """Scalar; another than `loss` where validation data may have other classes than those that are learned."""
        return self.loss(answers, truth)

    @abstractmethod
    def measure(self) -> torchmetrics.Metric:
        """Metric to be updated with (answers, truth)."""

    def settings(self) -> dict[str, Any]:
        """`settings` of the manifest."""
        return {}

    def calibrate(self, answers: Tensor, truth: Tensor) -> dict[str, Any]:
        """Further `settings`, fitted on answers to validation samples; {} where there is nothing to fit."""
        return {}

    def completed(self, model: bytes, settings: Mapping[str, Any], pictures: Pictures) -> Completed | None:
        """What further outputs the model's file gets, by what it says of pictures; None for none.

        settings: of the manifest, as far as they are known. Not asked of tasks whose answers have places.
        """
        return None

    def params(self) -> dict[str, Any]:
        """With which parameters the head is asked when it is measured."""
        return {}

    @abstractmethod
    def scores(self, answers: Sequence[Result], samples: Sequence[Any]) -> Scores:
        """Of the answers to samples."""

    def scores_in(
        self, ask: Callable[[Sequence[Any]], Sequence[Result]], samples: Sequence[Any], dataset: Any
    ) -> Scores:
        """Of a head on samples of a data set; `ask` answers for any of its samples, with `params()`."""
        return self.scores(ask(samples), samples)

    # For a task that learns what is alike, from pictures within a batch.

    def begun(
        self, layer: nn.Module, vectors: Callable[[], Tensor], rate: float | None, decay: float
    ) -> list[dict[str, Any]] | None:
        """Begin an answer layer with what the features of the training pictures, float32 (N, width), say already.

        Returns the groups of parameters for the optimiser; None where nothing was begun.
        """
        return None

    def batches(self, truth: Tensor, size: int, steps: int, *, fixed: bool) -> Iterable[list[int]]:
        """Indices of `steps` batches of about `size`, in which there is something to compare; `fixed` ones stay."""
        raise NotImplementedError("of a task that `learns_likeness`")

    def further_classes(self, pixels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pictures uint8 (N, H, W, C) and truth, with classes that are made from them, where such were asked for."""
        return pixels, truth


class MapLearner(TaskLearner):
    """A task whose answers have places.

    maps: features that its net takes. spec: preprocessing where none is asked for; after `prepare`.
    """

    @property
    @abstractmethod
    def maps(self) -> tuple[str, ...]: ...

    @property
    @abstractmethod
    def spec(self) -> PreprocessSpec: ...

    @abstractmethod
    def annotation(self, sample: Any, frame: Frame) -> Any:
        """What is known of a sample, in the frame of the model: a tv_tensor, or a dict of several.

        Raises DataInvalidError that names the file.
        """

    @abstractmethod
    def collate(self, annotations: Sequence[Any]) -> Any:
        """The truth of a batch, as `loss` takes it."""

    @abstractmethod
    def map_net(self, channels: Mapping[str, int], dropout: float) -> nn.Module:
        """Maps float32 (N, C, H, W) in this order -> answers: forward(*maps), and learn(maps) for a list."""

    @abstractmethod
    def pixel_net(self, channels: int) -> nn.Module:
        """`image` uint8 (N, H, W, C) -> answers: forward(image), and learn(image)."""


class TaskNet(nn.Module):
    """A net that does more than answer: it makes its own losses, is solved for, or gives rows.

    makes_losses: `losses` and `answers` are there, as what the losses are of is chosen on the way. They are drawn at
    random, so the best epoch is the one of the largest metric, not of the least loss.
    is_solved: `solve` finds the weights, from all data at once, not in steps.
    outputs: names of what `forward` returns, (1, M, ...) each, of a net that gives rows for one picture at a time,
    another number for each picture; empty for all others.
    """

    makes_losses: ClassVar[bool] = False
    is_solved: ClassVar[bool] = False

    outputs: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        """Raises TypeError where it lacks a method that what it says of itself needs."""
        super().__init_subclass__()
        needed = ["losses", "answers"] * cls.makes_losses + ["solve"] * cls.is_solved
        for method in [*needed, *(["difference"] if cls.outputs else [])]:
            if getattr(cls, method) is getattr(TaskNet, method):
                raise TypeError(f"net {cls.__name__} needs the method {method}")

    def losses(self, inputs: Any, truth: Any) -> Mapping[str, Tensor]:
        """Scalars by name, to be added up. truth: of `collate`."""
        raise NotImplementedError("of a net that `makes_losses`")

    def answers(self, inputs: Any) -> Any:
        """What `measure` of the learner takes."""
        raise NotImplementedError("of a net that `makes_losses`")

    def solve(self, train: Any, validation: Any | None, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
        """Find the weights. The data is as `fit` has it. Returns settings for the manifest.

        progress: of a named stage, done and of all. Raises InvalidRequestError where there is too little data.
        """
        raise NotImplementedError("of a net that `is_solved`")

    def difference(self, want: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> float:
        """Of the outputs of two runtimes, relative to the largest value; rows may have changed places."""
        raise NotImplementedError("of a net with `outputs`")


def makes_losses(net: nn.Module) -> TypeGuard[TaskNet]:
    return isinstance(net, TaskNet) and net.makes_losses


def is_solved(net: nn.Module) -> TypeGuard[TaskNet]:
    return isinstance(net, TaskNet) and net.is_solved


def gives_rows(net: nn.Module) -> TypeGuard[TaskNet]:
    return isinstance(net, TaskNet) and bool(net.outputs)
