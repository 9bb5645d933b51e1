"""Mode `scratch`: an own small net on the pixels, for pictures that are nothing like photographs."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

from trunkline.core.cpu import available_cores
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.preprocess import PreprocessSpec
from trunkline.training.batches import PixelBatches
from trunkline.training.data.dataset import Sample
from trunkline.training.features import pixels_of
from trunkline.training.fit import Plan, fit
from trunkline.training.modes.job import Fitted, Job, batch_of, truths
from trunkline.training.modes.pooled import augmentation_of
from trunkline.training.nets.small import LENET_SIDE, PixelNet, conv4, lenet5, plain_cnn

_SPEC = PreprocessSpec(resize="squash", width=128, height=128)
_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS, _BATCH = 6000, 8, 60, 64
_RATE, _WEIGHT_DECAY = 2e-3, 0.05
_LARGEST_BYTES = 4 * 1024**3


def train_scratch(job: Job) -> Fitted:
    """Raises InvalidRequestError where the pictures do not fit the net or the memory."""
    options, spec = job.request.options, job.request.spec or job.learner.scratch_spec or _SPEC
    dropout = job.learner.dropout if options.dropout is None else options.dropout
    kind = job.request.net or job.learner.net
    body, width = _body(kind, spec, dropout)
    # A quarter less time on CPUs.
    net = PixelNet(body, job.learner.answer_layer(width)).to(memory_format=torch.channels_last)
    truth, validation_truth = truths(job)
    pixels, truth = job.learner.further_classes(_pixels(job, job.train, spec), truth)
    train = PixelBatches(pixels, truth, augmentation_of(job, spec))
    validation = None
    if validation_truth is not None:
        validation = PixelBatches(_pixels(job, job.validation, spec), validation_truth, "none")
    decay = _WEIGHT_DECAY if options.weight_decay is None else options.weight_decay
    groups = [{"params": list(net.parameters()), "lr": options.rate or _RATE, "weight_decay": decay}]
    batch = batch_of(job, _BATCH)
    epochs = options.epochs or min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, _STEPS * batch // len(truth)))
    plan = Plan(epochs, batch, groups, "scratch")
    curve = fit(net, job.learner, train, validation, plan, job.watcher, job.work)
    return Fitted(net, (IMAGE,), spec, curve, {"net": kind}, validation=validation)


def _body(net: str, spec: PreprocessSpec, dropout: float) -> tuple[nn.Module, int]:
    channels = 1 if spec.colour == "L" else 3
    if net not in ("cnn", "conv4", "lenet5"):
        raise InvalidRequestError(f"{net} is for another task; for pictures as a whole: --net cnn or lenet5")
    if net == "conv4":
        return conv4(channels, spec.height, spec.width)
    if net == "cnn":
        return plain_cnn(channels, spec.height, spec.width, dropout)
    if (spec.height, spec.width) != (LENET_SIDE, LENET_SIDE):
        raise InvalidRequestError(
            f"lenet5 takes {LENET_SIDE}x{LENET_SIDE} pixels: --width 32 --height 32, or --net cnn"
        )
    return lenet5(channels, dropout)


def _pixels(job: Job, samples: Sequence[Sample], spec: PreprocessSpec) -> np.ndarray:
    """uint8 (N, H, W, C)"""
    channels = 1 if spec.colour == "L" else 3
    if len(samples) * spec.height * spec.width * channels > _LARGEST_BYTES:
        raise InvalidRequestError(f"{len(samples)} pictures of {spec.width}x{spec.height} need too much memory")
    found = np.empty((len(samples), spec.height, spec.width, channels), np.uint8)
    with ThreadPoolExecutor(available_cores()) as pool:
        for index, pixels in enumerate(pool.map(lambda sample: pixels_of(sample, spec), samples)):
            found[index] = pixels[0]
            job.watcher.stage("pixels", index + 1, len(samples))
    return found
