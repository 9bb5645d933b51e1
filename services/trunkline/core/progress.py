"""How far a training run is, as it is told to whoever watches. No torch here."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One line of the learning curve, epoch `number` of at most `of`; validation is None without validation data.

    validation_metric is the one of the task that `metric` names: accuracy, 0 to 1, or rmse, in units of the target.
    """

    number: int
    of: int
    train_loss: float
    validation_loss: float | None
    validation_metric: float | None
    metric: str = "accuracy"


@dataclass(frozen=True)
class Watcher:
    """Told of progress. stage: name, done, of all. epoch: a line of the learning curve.

    data: once the data is read, the number of remarks on it, and of objects and pictures that were left out.
    """

    stage: Callable[[str, int, int], None]
    epoch: Callable[[Epoch], None]
    data: Callable[[int, int], None] = lambda remarks, left_out: None
