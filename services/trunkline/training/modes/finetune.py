"""Mode `finetune`: a transferred head first, then its private copy of the backbone's last stages with a small rate.

The shared pass stays shared up to the feature where the tail begins; the maps there are stored once for each view,
so that an epoch costs the tail alone.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from trunkline.core.errors import InvalidRequestError
from trunkline.core.progress import Epoch
from trunkline.core.train_request import FitOptions
from trunkline.training.batches import MapBatches
from trunkline.training.compute import share_before
from trunkline.training.exact import exact_model
from trunkline.training.features import Stored
from trunkline.training.fit import Plan, fit
from trunkline.training.modes.job import Fitted, Job, batch_of, truths
from trunkline.training.modes.pooled import fit_pooled, recipe_of, views_of, views_stored
from trunkline.training.nets.tail import Tail
from trunkline.training.nets.tailed import TailedNet

_EPOCHS, _BATCH = 20, 32
_RATE, _WEIGHT_DECAY = 2e-4, 0.05
_SMALL_RATE, _SMALL_DECAY = 5e-4, 3.0
_LEVELS = ("c4", "stage5", "c5", "pooled")  # what the small net may see, from early to late
# Relative. Stored maps are float16; those of a backbone in 8 bits go through a tail in float32.
_DRIFT, _DRIFT_IN_8_BITS = 1e-2, 0.2


def train_tailed(job: Job) -> Fitted:
    """Raises InvalidRequestError where the tail cannot begin at that feature."""
    start, options = job.request.tail, job.request.options
    after = _levels_after(start, tuple(feature.name for feature in job.backbone.manifest.features))
    recipe = recipe_of(job, (start, *after), maps=(start,))
    tail = Tail(exact_model(job.backbone), start, after)
    stored = views_stored(job, job.train, recipe, views_of(job))
    drift = _DRIFT if job.backbone.manifest.quantized_from is None else _DRIFT_IN_8_BITS
    _check(tail, start, stored[0][0], drift)
    # Rate, batch and decay that were asked for are for the tail.
    first = FitOptions(epochs=options.epochs, dropout=options.dropout, seed=options.seed)
    small = fit_pooled(job, recipe, stored, first)
    net = TailedNet(tail, small.net)
    truth, validation_truth = truths(job)
    train = MapBatches(stored, start, truth)
    validation = MapBatches(small.stored, start, validation_truth) if validation_truth is not None else None
    decay = _WEIGHT_DECAY if options.weight_decay is None else options.weight_decay
    groups = [
        {"params": list(tail.parameters()), "lr": options.rate or _RATE, "weight_decay": decay},
        {"params": list(small.net.parameters()), "lr": _SMALL_RATE, "weight_decay": _SMALL_DECAY},
    ]
    plan = Plan(options.epochs or _EPOCHS, batch_of(job, _BATCH), groups, "tail")
    net.to(memory_format=torch.channels_last)  # half as fast again on CPU
    epochs = fit(net, job.learner, train, validation, plan, job.watcher, job.work)
    net.to(memory_format=torch.contiguous_format)
    share = share_before(exact_model(job.backbone), start, after, recipe.spec.height, recipe.spec.width)
    shared = {"start": start, "parameters": tail.parameter_count, "shared_compute": round(share, 4)}
    return Fitted(
        net,
        (start,),
        recipe.spec,
        _joined(small.epochs, epochs),
        {"tail": shared},
        tail_note(start, share, tail),
        validation,
        recipe,
    )


def _levels_after(start: str, known: tuple[str, ...]) -> tuple[str, ...]:
    after = _LEVELS[_LEVELS.index(start) + 1 :] if start in _LEVELS[:-1] else ()
    if start not in known or not after:
        possible = ", ".join(name for name in _LEVELS[:-1] if name in known)
        raise InvalidRequestError(f"a tail cannot begin at {start!r}; it can at {possible}")
    return tuple(name for name in after if name in known and name != "stage5")


def _check(tail: Tail, start: str, stored: Stored, drift: float) -> None:
    """The tail computes what the backbone does, before anything is learned."""
    with torch.inference_mode():
        feature = torch.from_numpy(stored.map(start)).to(torch.float32)[None]  # (1, C, H, W)
        levels: list[Tensor] = [feature, *tail(feature)]
        found = torch.cat([level.mean(dim=(2, 3)) if level.ndim == 4 else level for level in levels], dim=1)
    want = stored.vector()
    off = float(np.abs(found[0].numpy() - want).max()) / max(1.0, float(np.abs(want).max()))
    if not off <= drift:
        raise InvalidRequestError(f"the tail from {start} could not be taken out of this backbone: off by {off:.2g}")


def tail_note(start: str, share: float, tail: Tail) -> str:
    """What a card says of a private tail."""
    return (
        f"A private tail from `{start}` on ({tail.parameter_count / 1e6:.1f} million parameters); "
        f"{100 * share:.0f} % of the multiplications of a pass are shared with other heads."
    )


def _joined(first: list[Epoch], second: list[Epoch]) -> list[Epoch]:
    """One curve of both stages; the numbers go on."""
    before = len(first)
    return [*first, *(replace(epoch, number=before + epoch.number) for epoch in second)]
