"""Fits a net to stored vectors: Lightning's loop, early stopping, the best epoch kept."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from trunkline.core.cpu import available_cores
from trunkline.heads.classification.learn import FeatureClassifier, loss, metric

_STEPS = 2000
# Accuracy on a small validation set is often perfect from the first epoch on, and would keep that one.
_JUDGE = "validation_loss"
_SMALLEST_BATCH, _LARGEST_BATCH = 16, 128


@dataclass(frozen=True)
class FitOptions:
    """Defaults that need no tuning for some hundred to some ten thousand samples.

    epochs: at most; 0 takes as many as give 2,000 steps, since a small data set has few steps in an epoch. With
    validation data it ends early, when a quarter of them brought nothing better.
    balance: weigh classes by the inverse of their frequency.
    """

    epochs: int = 0
    rate: float = 1e-3
    weight_decay: float = 3.0
    dropout: float = 0.5
    label_smoothing: float = 0.1
    balance: bool = False
    seed: int = 0

    def plan(self, samples: int) -> tuple[int, int]:
        """Batch size and epochs for a number of samples."""
        batch = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, samples // 32))
        return batch, self.epochs or math.ceil(_STEPS / math.ceil(samples / batch))


@dataclass(frozen=True)
class Epoch:
    """One line of the learning curve, epoch `number` of at most `of`; validation is None without validation data."""

    number: int
    of: int
    train_loss: float
    validation_loss: float | None
    validation_metric: float | None


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights `fit` keeps: of least validation loss; the last without validation data."""
    measured = [(epoch.validation_loss, epoch) for epoch in epochs if epoch.validation_loss is not None]
    return min(measured, key=lambda pair: pair[0])[1] if measured else epochs[-1]


@dataclass(frozen=True)
class Vectors:
    """float32 (N, C) with labels int64 (N,)."""

    values: np.ndarray
    labels: np.ndarray

    def dataset(self) -> TensorDataset:
        return TensorDataset(torch.from_numpy(self.values), torch.from_numpy(self.labels))


def seed(number: int) -> None:
    """Set all random numbers; before a net is made, as its first weights are random too."""
    lightning.seed_everything(number, workers=True, verbose=False)


def fit(
    net: FeatureClassifier,
    classes: int,
    train: Vectors,
    validation: Vectors | None,
    options: FitOptions,
    on_epoch: Callable[[Epoch], None],
    folder: Path,
) -> list[Epoch]:
    """Fit `net` in place and leave it with the weights of its best epoch (the last, without validation data).

    `folder` takes checkpoints while it runs. Returns the learning curve.
    """
    batch, epochs = options.plan(len(train.labels))
    net.standardise(torch.from_numpy(train.values))
    weights = _class_weights(train.labels, classes) if options.balance else None
    module = _Module(net, classes, options, epochs, weights)
    curve = _Curve(on_epoch)
    checkpoint = ModelCheckpoint(folder, monitor=_JUDGE) if validation else None
    callbacks: list[Callback] = [curve]
    if checkpoint is not None:
        stop = EarlyStopping(_JUDGE, patience=max(15, epochs // 4))
        callbacks += [checkpoint, stop]
    with _quiet():
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            callbacks=callbacks,
            enable_checkpointing=checkpoint is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        torch.set_num_threads(available_cores())
        trainer.fit(module, _loader(train, batch, shuffle=True), _loader(validation, batch) if validation else None)
    if checkpoint is not None and checkpoint.best_model_path:
        best = torch.load(checkpoint.best_model_path, weights_only=True)["state_dict"]
        module.load_state_dict(best)
    net.eval()
    return curve.epochs


class _Module(lightning.LightningModule):
    def __init__(
        self, net: FeatureClassifier, classes: int, options: FitOptions, epochs: int, weights: Tensor | None
    ) -> None:
        super().__init__()
        self.epochs = epochs
        self.net, self.options = net, options
        self.loss, self.metric = loss(weights, options.label_smoothing), metric(classes)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        vectors, labels = batch  # (N, C), (N,)
        found: Tensor = self.loss(self.net.logits(vectors), labels)
        self.log("train_loss", found, on_step=False, on_epoch=True)
        return found

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        vectors, labels = batch
        logits = self.net.logits(vectors)
        self.metric(logits, labels)
        self.log("validation_loss", self.loss(logits, labels))
        self.log("validation_metric", self.metric)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(self.parameters(), lr=self.options.rate, weight_decay=self.options.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.epochs)
        return {"optimizer": optimiser, "lr_scheduler": schedule}


class _Curve(Callback):
    def __init__(self, on_epoch: Callable[[Epoch], None]) -> None:
        self.epochs: list[Epoch] = []
        self._on_epoch = on_epoch

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        seen = trainer.callback_metrics
        epoch = Epoch(
            number=trainer.current_epoch + 1,
            of=trainer.max_epochs or 0,
            train_loss=float(seen["train_loss"]),
            validation_loss=_value(seen, "validation_loss"),
            validation_metric=_value(seen, "validation_metric"),
        )
        self.epochs.append(epoch)
        self._on_epoch(epoch)


def _value(seen: Any, name: str) -> float | None:
    return float(seen[name]) if name in seen else None


def _loader(vectors: Vectors, batch: int, *, shuffle: bool = False) -> DataLoader[Any]:
    return DataLoader(vectors.dataset(), batch_size=batch, shuffle=shuffle)


def _class_weights(labels: np.ndarray, classes: int) -> Tensor:
    counts = np.bincount(labels, minlength=classes)
    return torch.tensor(len(labels) / (classes * np.maximum(counts, 1)), dtype=torch.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning advises about machines and loaders that are not ours; the progress is shown by the caller."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
