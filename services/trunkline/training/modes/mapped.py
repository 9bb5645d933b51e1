"""All modes for tasks whose answers have places: a net on the maps of the backbone, or on the pixels.

`features` and `transfer`: the maps as they are. `finetune`: those after `tail` by a private copy of the last stages,
with a small rate, from the first step on. `scratch`: a net of its own on `image`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.preprocess import STRIDE
from trunkline.heads.learner import MapLearner, TaskNet, is_solved, makes_losses
from trunkline.training.annotated import AnnotatedMaps, AnnotatedPixels
from trunkline.training.compute import share_before
from trunkline.training.data.pasted import pasted
from trunkline.training.data.reading import is_file, require_allowed
from trunkline.training.exact import exact_model
from trunkline.training.export.weights import file_sha256, read_state
from trunkline.training.features import Recipe
from trunkline.training.fit import Plan, fit
from trunkline.training.modes.finetune import tail_note
from trunkline.training.modes.job import Fitted, Job
from trunkline.training.modes.pooled import augmentation_of, views_stored
from trunkline.training.nets.tail import Tail
from trunkline.training.taught import taught

_RATE, _TAIL_RATE, _DECAY = 1e-3, 2e-4, 1e-2
_BATCH = 8
_PART, _LEAST = 0.7, 192  # of the sides; a smaller part shows too little
_STEPS = {"features": 2000, "transfer": 3000, "finetune": 3000, "scratch": 8000}
_OF_THE_STEPS = 0.25  # where the net has learned before
_SOLVED = "Its weights were solved for, from all pictures at once, so there is no learning curve."
_VIEWS = {"features": 2, "transfer": 12, "finetune": 12, "scratch": 1000}
_VIEWS_PASTED = 4  # most of the pictures are new ones already, and every view is kept on the disk


def train_mapped(job: Job, learner: MapLearner) -> Fitted:
    """Raises InvalidRequestError for a feature that the backbone has not, DataInvalidError for broken data."""
    job, recipe, note = prepared(job, learner)
    fitted = _fitted(job, learner, recipe)
    return replace(fitted, notes=f"{fitted.notes} {note}".strip())


def prepared(job: Job, learner: MapLearner) -> tuple[Job, Recipe, str]:
    """The job with all pictures that are learned from, how they are seen, and a sentence on them for the card."""
    spec, note = job.request.spec or learner.spec, ""
    kept = tuple(job.request.features or learner.maps)
    recipe = Recipe(kept, spec, augmentation_of(job, spec), job.request.options.seed, kept)
    if recipe.augmentation == "pasted":
        new = pasted(
            job.train, job.request.options.seed, lambda done, total: job.watcher.stage("pasted", done, total)
        )
        job = replace(job, train=[*job.train, *new])
    if job.teacher is not None:
        samples, note = taught(job.teacher, job.train, job.request.unlabelled, job.watcher)
        job = replace(job, train=samples)
    return job, recipe, note


def _fitted(job: Job, learner: MapLearner, recipe: Recipe) -> Fitted:
    if job.request.mode == "scratch":
        return _scratch(job, learner, replace(recipe, features=(), maps=()))
    if job.request.mode == "pretrained":
        raise InvalidRequestError(f"there is no pretrained {job.request.task} net: take another mode")
    return _on_maps(job, learner, recipe)


class MapTailNet(nn.Module):
    """Maps up to the one where the tail begins; those after it are made by the tail."""

    def __init__(self, tail: Tail, decoder: nn.Module) -> None:
        super().__init__()
        self.tail, self.decoder = tail, decoder

    def learn(self, maps: Sequence[Tensor]) -> Tensor:
        found: Tensor = self.decoder.learn([*maps, *self.tail(maps[-1])])  # type: ignore[operator]
        return found

    def forward(self, *maps: Tensor) -> Tensor:
        found: Tensor = self.decoder(*maps, *self.tail(maps[-1]))
        return found


class MapTailTaskNet(MapTailNet, TaskNet):
    """The same for a net that makes its own losses and gives rows."""

    makes_losses = True

    def __init__(self, tail: Tail, decoder: TaskNet) -> None:
        super().__init__(tail, decoder)
        self.outputs = decoder.outputs

    def losses(self, maps: Sequence[Tensor], truth: Any) -> Mapping[str, Tensor]:
        found: Mapping[str, Tensor] = self.decoder.losses([*maps, *self.tail(maps[-1])], truth)  # type: ignore[operator]
        return found

    def answers(self, maps: Sequence[Tensor]) -> Any:
        return self.decoder.answers([*maps, *self.tail(maps[-1])])  # type: ignore[operator]

    def difference(self, want: Any, found: Any) -> float:
        off: float = self.decoder.difference(want, found)  # type: ignore[operator]
        return off

    def forward(self, *maps: Tensor) -> Tensor:
        found: Tensor = self.decoder(*maps, *self.tail(maps[-1]))
        return found


def _on_maps(job: Job, learner: MapLearner, recipe: Recipe) -> Fitted:
    options, names = job.request.options, recipe.maps
    dropout = job.learner.dropout if options.dropout is None else options.dropout
    decoder = learner.map_net(job.store.widths(names), dropout)
    if job.begin is not None:
        decoder.load_state_dict(job.begin)
    net, tail = decoder, None
    after: tuple[str, ...] = ()
    if job.request.mode == "finetune":
        names, after = _around(names, job.request.tail)
        tail = Tail(exact_model(job.backbone), job.request.tail, after)
        net = MapTailTaskNet(tail, decoder) if makes_losses(decoder) else MapTailNet(tail, decoder)
    recipe = replace(recipe, features=names, maps=names)
    rate = options.rate or learner.rate or _RATE
    groups = [{"params": list(decoder.parameters()), "lr": rate, "weight_decay": _decay(job)}]
    if tail is not None:
        groups.append({"params": list(tail.parameters()), "lr": _TAIL_RATE, "weight_decay": _decay(job)})
    train, validation = annotated_maps(job, learner, recipe)
    if is_solved(net):
        # What is measured on must not be what probabilities are fitted on.
        held = None if job.request.validation_split == job.request.test_split else validation
        found = net.solve(train, held, job.watcher.stage)
        return Fitted(net, names, recipe.spec, [], found, _SOLVED, held)
    net.to(memory_format=torch.channels_last)  # half as fast again on CPU
    epochs = fit(net, job.learner, train, validation, _plan(job, groups), job.watcher, job.work)
    net.to(memory_format=torch.contiguous_format)
    settings, note = ({}, "") if tail is None else _described(job, recipe, after, tail)
    return Fitted(net, names, recipe.spec, epochs, settings, note, validation)


def annotated_maps(
    job: Job, learner: MapLearner, recipe: Recipe, *, parts: bool = True
) -> tuple[AnnotatedMaps, AnnotatedMaps | None]:
    """The pictures to learn from, in as many views as the mode has, and those for validation, where there are any.

    parts: whether views may be parts of scenes.
    """
    usual = _VIEWS_PASTED if recipe.augmentation == "pasted" else _VIEWS[job.request.mode]
    views = 1 if recipe.augmentation == "none" else job.request.views or usual
    cut = replace(recipe, cut=_cut(recipe) if parts else None)
    train = AnnotatedMaps(job.train, views_stored(job, job.train, cut, views), cut, learner)
    if not job.validation:
        return train, None
    return train, AnnotatedMaps(job.validation, views_stored(job, job.validation, recipe, 1), recipe, learner)


def _scratch(job: Job, learner: MapLearner, recipe: Recipe) -> Fitted:
    net = learner.pixel_net(1 if recipe.spec.colour == "L" else 3)
    note = _begin(net, Path(job.request.weights)) if job.request.weights else ""
    views = 0 if recipe.augmentation == "none" else job.request.views or _VIEWS["scratch"]
    train = AnnotatedPixels(job.train, views, replace(recipe, cut=_cut(recipe)), learner)
    validation = AnnotatedPixels(job.validation, 0, recipe, learner) if job.validation else None
    groups = [
        {"params": list(net.parameters()), "lr": job.request.options.rate or _RATE, "weight_decay": _decay(job)}
    ]
    net.to(memory_format=torch.channels_last)
    epochs = fit(net, job.learner, train, validation, _plan(job, groups), job.watcher, job.work)
    net.to(memory_format=torch.contiguous_format)
    return Fitted(net, (IMAGE,), recipe.spec, epochs, notes=note)


def _begin(net: nn.Module, path: Path) -> str:
    """Put weights of a file into the net; a sentence for the card."""
    require_allowed(path)
    if not is_file(path):
        raise InvalidRequestError(f"there is no weights file {path}: name one that exists, or leave --weights out")
    net.begin_with(read_state(path), path.name)  # type: ignore[operator]
    return f"The encoder began with the weights of {path.name} (SHA-256 {file_sha256(path)})."


def _cut(recipe: Recipe) -> tuple[int, int] | None:
    """Parts of scenes are learned from: a step has half of the pixels, and there are more of them."""
    if recipe.augmentation != "scene":
        return None
    height, width = (STRIDE * round(_PART * side / STRIDE) for side in (recipe.spec.height, recipe.spec.width))
    return (height, width) if min(height, width) >= _LEAST else None


def _plan(job: Job, groups: Sequence[dict[str, object]]) -> Plan:
    options = job.request.options
    batch = options.batch or job.learner.batch or _BATCH
    steps = job.learner.steps or _STEPS
    share = 1.0 if job.begin is None else _OF_THE_STEPS
    epochs = options.epochs or max(1, round(share * steps[job.request.mode] * batch / len(job.train)))
    return Plan(epochs, batch, groups, "maps")


def _decay(job: Job) -> float:
    given = job.request.options.weight_decay
    return _DECAY if given is None else given


def _around(names: Sequence[str], start: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The features up to `start`, and those after it."""
    if start not in names[:-1]:
        raise InvalidRequestError(f"a tail cannot begin at {start!r}; it can at {', '.join(names[:-1])}")
    at = names.index(start) + 1
    return tuple(names[:at]), tuple(names[at:])


def _described(job: Job, recipe: Recipe, after: tuple[str, ...], tail: Tail) -> tuple[dict[str, object], str]:
    """Settings of the manifest and a sentence for the card."""
    start = job.request.tail
    share = share_before(exact_model(job.backbone), start, after, recipe.spec.height, recipe.spec.width)
    shared = {"start": start, "parameters": tail.parameter_count, "shared_compute": round(share, 4)}
    return {"tail": shared}, tail_note(start, share, tail)
