"""Fits a net: Lightning's loop, early stopping, the best epoch kept, and a checkpoint to go on from."""

import logging
import math
import signal
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from trunkline.core.cpu import available_cores
from trunkline.core.progress import Epoch, Watcher
from trunkline.heads.learner import TaskLearner, makes_losses
from trunkline.training import group
from trunkline.training.averaging import Averaged

# Accuracy on a small validation set is often perfect from the first epoch on, and would keep that one.
_JUDGE = "validation_loss"
_OWN_JUDGE = "validation_metric"  # of a net with losses of its own
_WARM_UP = 0.05  # of all steps, while the rate rises
_AT_ONCE = 64
_LAST = "last.ckpt"
_PAUSE_S = 0.5  # between two words on the steps of an epoch


@dataclass(frozen=True)
class Plan:
    """How long, in which batches, and which parameters at which rate. groups: as torch's optimisers take them.

    batch: of all processes of a group together. name: of the stage, for whoever watches and for the checkpoints.
    """

    epochs: int
    batch: int
    groups: Sequence[dict[str, Any]]
    name: str = "fit"


def best_epoch(epochs: Sequence[Epoch], *, by_metric: bool = False) -> Epoch:
    """The epoch whose weights `fit` keeps: of least validation loss; the last without validation data.

    by_metric: of largest metric, for a net that makes its own losses.
    """
    if by_metric:
        measured = [(-epoch.validation_metric, epoch) for epoch in epochs if epoch.validation_metric is not None]
    else:
        measured = [(epoch.validation_loss, epoch) for epoch in epochs if epoch.validation_loss is not None]
    return min(measured, key=lambda pair: pair[0])[1] if measured else epochs[-1]


def seed(number: int) -> None:
    """Set all random numbers; before a net is made, as its first weights are random too."""
    lightning.seed_everything(number, workers=True, verbose=False)


def fit(
    net: nn.Module,
    learner: TaskLearner,
    train: Dataset[Any],
    validation: Dataset[Any] | None,
    plan: Plan,
    watcher: Watcher,
    work: Path,
) -> list[Epoch]:
    """Fit `net` in place and leave it with the weights of its best epoch (the last, without validation data).

    The data gives whole batches (inputs, truth) by `__getitems__`; `net.learn(inputs)` makes the answers, or the net
    makes its own losses; then its weights are averages over the latest steps. `work` takes checkpoints, and what was
    begun there is gone on with. Returns the learning curve.
    """
    folder = work / plan.name
    module, curve = _Module(net, learner, plan), _Curve(learner.metric, watcher)
    judge, mode = (_OWN_JUDGE, "max") if makes_losses(net) else (_JUDGE, "min")
    best = ModelCheckpoint(folder, monitor=judge, mode=mode, filename="best") if validation is not None else None
    callbacks: list[Callback] = [curve, _resumable(folder, plan.epochs)]
    if best is not None:
        callbacks += [best, EarlyStopping(judge, mode=mode, patience=max(15, plan.epochs // 4))]
    if makes_losses(net):
        callbacks.append(Averaged())
    if group.size() > 1:
        callbacks.append(_KeepSigterm())
        torch.manual_seed(torch.initial_seed() + group.rank())  # or all would drop the same units
    with _quiet():
        torch.set_num_threads(available_cores())
        trainer = lightning.Trainer(
            default_root_dir=folder,
            max_epochs=plan.epochs,
            accelerator="cpu",
            logger=False,
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=learner.random_batches,  # else processes draw classes of their own
            **group.trainer_options(),
        )
        begun = group.agreed(folder / _LAST if (folder / _LAST).is_file() else None)
        loader = _batches(learner, train, plan.batch, fixed=False)
        validation_loader = _batches(learner, validation, plan.batch, fixed=True) if validation is not None else None
        with _interruptible():
            trainer.fit(module, loader, validation_loader, ckpt_path=begun, weights_only=True)
    # Other processes of a group get these weights where the next stage begins.
    if best is not None and best.best_model_path and group.rank() == 0:
        module.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    net.eval()
    return curve.epochs


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning makes an exit with status 1 of Ctrl-C: it is Ctrl-C again."""
    try:
        yield
    except SystemExit as left:
        if isinstance(left.__context__, KeyboardInterrupt):
            raise left.__context__ from None
        raise


def answers_to(net: nn.Module, data: Dataset[Any]) -> tuple[Tensor, Tensor]:
    """(answers, truth) of all samples, in order."""
    with torch.inference_mode():
        parts = [(net.learn(inputs), truth) for inputs, truth in _loader(data, _AT_ONCE, shuffle=False)]  # type: ignore[operator]
    return torch.cat([answers for answers, _ in parts]), torch.cat([truth for _, truth in parts])


class _Module(lightning.LightningModule):
    def __init__(self, net: nn.Module, learner: TaskLearner, plan: Plan) -> None:
        super().__init__()
        self.net, self.measure = net, learner.measure()
        self._learner, self._plan = learner, plan

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        inputs, truth = batch
        if makes_losses(self.net):
            loss = _total(self.net.losses(inputs, truth))
        else:
            loss = self._learner.loss(self.net.learn(inputs), truth)  # type: ignore[operator]
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(truth), sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        inputs, truth = batch
        if makes_losses(self.net):
            answers, loss = self.net.answers(inputs), _total(self.net.losses(inputs, truth))
        else:
            answers = self.net.learn(inputs)  # type: ignore[operator]
            loss = self._learner.validation_loss(answers, truth)
        self.measure.update(answers, truth)
        self.log("validation_loss", loss, batch_size=len(truth), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        self.log("validation_metric", self.measure.compute())
        self.measure.reset()

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(list(self._plan.groups))
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: share_of_rate(step, steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _total(losses: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def share_of_rate(step: int, steps: int) -> float:
    """Of the rate: up in a line, then down in half a cosine."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


class _KeepSigterm(Callback):
    """Lightning would answer a SIGTERM with a broadcast, which waits for processes that may be gone."""

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        signal.signal(signal.SIGTERM, self._handler)


class _Curve(Callback):
    """The learning curve; part of the checkpoint, so that a run that goes on has all of it."""

    def __init__(self, metric: str, watcher: Watcher) -> None:
        self.epochs: list[Epoch] = []
        self._metric, self._watcher = metric, watcher
        self._told_at = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if time.monotonic() - self._told_at >= _PAUSE_S:
            self._told_at = time.monotonic()
            self._watcher.stage("steps", batch_idx + 1, int(trainer.num_training_batches))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        seen = trainer.callback_metrics
        epoch = Epoch(
            number=trainer.current_epoch + 1,
            of=trainer.max_epochs or 0,
            train_loss=float(seen["train_loss"]),
            validation_loss=_value(seen, "validation_loss"),
            validation_metric=_value(seen, "validation_metric"),
            metric=self._metric,
        )
        self.epochs.append(epoch)
        self._watcher.epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": [asdict(epoch) for epoch in self.epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = [Epoch(**fields) for fields in state_dict["epochs"]]


def _resumable(folder: Path, epochs: int) -> ModelCheckpoint:
    """Twenty times in a run, at most once an epoch."""
    return ModelCheckpoint(
        folder,
        filename=Path(_LAST).stem,
        every_n_epochs=max(1, epochs // 20),
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )


def _value(seen: Any, name: str) -> float | None:
    return float(seen[name]) if name in seen else None


def _batches(learner: TaskLearner, data: Dataset[Any], batch: int, *, fixed: bool) -> DataLoader[Any]:
    if learner.random_batches:
        return _loader(data, batch, shuffle=not fixed)
    truth: Tensor = data.truth  # type: ignore[attr-defined]
    steps = max(1, round(len(truth) / batch))
    chosen: Any = learner.batches(truth, math.ceil(batch / group.size()), steps, fixed=fixed)
    return DataLoader(data, batch_sampler=chosen, collate_fn=_as_it_is)


def _loader(data: Dataset[Any], batch: int, *, shuffle: bool) -> DataLoader[Any]:
    return DataLoader(data, batch_size=math.ceil(batch / group.size()), shuffle=shuffle, collate_fn=_as_it_is)


def _as_it_is(batch: Iterable[Any]) -> Any:
    return batch


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
