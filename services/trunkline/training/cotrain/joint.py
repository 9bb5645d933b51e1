"""The joint training: in each round a batch of every head, their losses brought to one size, one step.

All heads are seen equally often, whatever the size of their data; what one is worth beside the others is its weight.
The first rounds are the heads' alone, as heads that know nothing yet would only disturb the trunk. Every round draws
its random numbers anew from its number, so a run that goes on from a checkpoint is the run without interruption.
"""

import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trunkline.core.cpu import available_cores
from trunkline.core.errors import InvalidRequestError
from trunkline.core.progress import Watcher
from trunkline.training.cotrain.balance import LossBalance
from trunkline.training.cotrain.course import Batch, Course, Measured
from trunkline.training.cotrain.plan import Plan
from trunkline.training.cotrain.trunk import Trunk
from trunkline.training.fit import share_of_rate

_POINTS = 100  # of a curve
_AT_ONCE = 16  # validation pictures
_CHECKPOINT = "joint.ckpt"


@dataclass
class Curve:
    """Of one head. losses: (round, mean since the last). measured: (round, value of its metric), first before any."""

    metric: str
    losses: list[tuple[int, float]]
    measured: list[tuple[int, float]]


@dataclass
class Joint:
    """Courses on a trunk, trained together. seconds: that were worked, over all attempts."""

    trunk: Trunk
    courses: Sequence[Course]
    plan: Plan
    work: Path
    watcher: Watcher

    def __post_init__(self) -> None:
        self.round = 0
        self.seconds = 0.0
        self.curves = {course.name: Curve(course.metric, [], []) for course in self.courses}
        self._balance = LossBalance()
        self._since: dict[str, list[float]] = {course.name: [] for course in self.courses}
        groups: list[dict[str, Any]] = [
            {"params": list(self.trunk.parameters()), "lr": self.plan.rate, "weight_decay": self.plan.weight_decay}
        ]
        groups += [group for course in self.courses for group in course.groups()]
        self._rates = [float(group["lr"]) for group in groups]
        self._optimiser = torch.optim.AdamW(groups)
        self._orders: dict[tuple[str, int], Tensor] = {}

    def fit(self) -> None:
        """Go on where the last checkpoint was, or begin. Raises InvalidRequestError where a loss is no number."""
        torch.set_num_threads(available_cores())
        self.trunk.to(memory_format=torch.channels_last)  # half as fast again on CPU
        if (self.work / _CHECKPOINT).is_file():
            self._load()
        else:
            self._validate()
        saved_at, every_s = time.monotonic(), 60 * self.plan.checkpoint_minutes
        while self.round < self.plan.rounds:
            begun = time.monotonic()
            self._one_round()
            self.round += 1
            self.watcher.stage("rounds", self.round, self.plan.rounds)
            self._note()
            now = time.monotonic()
            self.seconds += now - begun
            if now - saved_at >= every_s or self.round == self.plan.rounds:
                self._save()
                saved_at = time.monotonic()
        for course in self.courses:
            course.net.eval()

    def _one_round(self) -> None:
        plan, alone = self.plan, self._alone
        _draw_from(plan.seed, self.round)
        learning = self.round >= alone
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * share_of_rate(self.round, plan.rounds)
        trunk_share = share_of_rate(self.round - alone, plan.rounds - alone) if learning else 0.0
        self._optimiser.param_groups[0]["lr"] = plan.rate * trunk_share
        self._optimiser.zero_grad(set_to_none=True)
        for course in self.courses:
            course.net.train()
            batch = course.batch(self._indices(course))
            with nullcontext() if learning else torch.no_grad():
                features = self._features(course, batch)
            loss = course.loss(features, batch.truth)
            value = float(loss.detach())
            if not np.isfinite(value):
                raise InvalidRequestError(
                    f"the loss of {course.name} is no number in round {self.round + 1}: try a smaller rate"
                )
            self._since[course.name].append(value)
            scale = course.weight * self._balance.scale(course.name, value, course.chance)
            if loss.requires_grad:  # a head without weights of its own has nothing to learn alone
                (loss * scale).backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()

    def measured(self) -> dict[str, Measured]:
        """The metric of each head that has validation pictures."""
        return {course.name: self._measured(course) for course in self.courses if course.held_back()}

    @torch.inference_mode()
    def _measured(self, course: Course) -> Measured:
        course.net.eval()
        metric, count = course.measure(), course.held_back()
        for start in range(0, count, _AT_ONCE):
            batch = course.held_back_batch(list(range(start, min(start + _AT_ONCE, count))))
            metric.update(*course.judged(self._features(course, batch), batch.truth))
            self.watcher.stage(f"validation of {course.name}", min(start + _AT_ONCE, count), count)
        return Measured(course.metric, float(metric.compute()))

    def _features(self, course: Course, batch: Batch) -> dict[str, Tensor]:
        return {**batch.features, **self.trunk(batch.features[self.trunk.start], course.wanted)}

    @property
    def _alone(self) -> int:
        return round(self.plan.alone * self.plan.rounds)

    def _indices(self, course: Course) -> list[int]:
        chosen = course.chosen(course.share)
        return list(chosen) if chosen is not None else list(self._turn(course))

    def _turn(self, course: Course) -> Iterator[int]:
        """All pictures in an order drawn anew each time through."""
        count = len(course)
        for place in range(self.round * course.share, (self.round + 1) * course.share):
            time_through, at = divmod(place, count)
            key = (course.name, time_through)
            if key not in self._orders:
                self._orders = {known: order for known, order in self._orders.items() if known[0] != course.name}
                generator = torch.Generator().manual_seed(self.plan.seed + time_through)
                self._orders[key] = torch.randperm(count, generator=generator)
            yield int(self._orders[key][at])

    def _note(self) -> None:
        last = self.round == self.plan.rounds
        if last or self.round % max(1, self.plan.rounds // _POINTS) == 0:
            for name, values in self._since.items():
                self.curves[name].losses.append((self.round, float(np.mean(values))))
                values.clear()
        if last or self.round % max(1, self.plan.rounds // self.plan.validations) == 0:
            self._validate()

    def _validate(self) -> None:
        for name, found in self.measured().items():
            self.curves[name].measured.append((self.round, found.value))

    def _save(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        state = {
            "round": self.round,
            "seconds": self.seconds,
            "trunk": self.trunk.state_dict(),
            "nets": {course.name: course.net.state_dict() for course in self.courses},
            "optimiser": self._optimiser.state_dict(),
            "balance": self._balance.state(),
            "curves": {name: [curve.losses, curve.measured] for name, curve in self.curves.items()},
            "since": self._since,
        }
        aside = self.work / f"{_CHECKPOINT}.tmp"
        with aside.open("wb") as file:
            torch.save(state, file)
            os.fsync(file.fileno())
        aside.replace(self.work / _CHECKPOINT)  # a reader finds a whole one, or the one before

    def _load(self) -> None:
        state = read_checkpoint(self.work)
        self.round, self.seconds = state["round"], state["seconds"]
        self.trunk.load_state_dict(state["trunk"])
        for course in self.courses:
            course.net.load_state_dict(state["nets"][course.name])
        self._optimiser.load_state_dict(state["optimiser"])
        self._balance.load(state["balance"])
        for name, (losses, measured) in state["curves"].items():
            self.curves[name].losses = [tuple(point) for point in losses]
            self.curves[name].measured = [tuple(point) for point in measured]
        self._since = state["since"]


def read_checkpoint(work: Path) -> Mapping[str, Any]:
    """The last one of a joint training."""
    found: Mapping[str, Any] = torch.load(work / _CHECKPOINT, weights_only=True)
    return found


def _draw_from(seed: int, number: int) -> None:
    mixed = (seed * 1_000_003 + number) % 2**32
    torch.manual_seed(mixed)
    np.random.seed(mixed)
    random.seed(mixed)
