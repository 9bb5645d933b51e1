"""Pictures as the model of a head takes them, for what a task wants to know of its finished model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trunkline.core.exchange import IMAGE
from trunkline.core.preprocess import PreprocessSpec
from trunkline.heads.pictures import Inputs
from trunkline.training.data.dataset import Sample
from trunkline.training.features import Recipe, pixels_of
from trunkline.training.modes.job import Fitted, Job
from trunkline.training.modes.pooled import views_stored

_DRAWN = 64


@dataclass(frozen=True)
class ShownPictures:
    """Of a job that is fitted. Features that are stored are not computed again."""

    job: Job
    fitted: Fitted

    @property
    def train(self) -> Sequence[Sample]:
        return self.job.train

    @property
    def held(self) -> Sequence[Sample]:
        return self.job.validation

    def inputs(self, samples: Sequence[Sample]) -> Iterator[Inputs]:
        """Raises DataInvalidError that names a broken picture."""
        fitted, store = self.fitted, self.job.store
        if fitted.features == (IMAGE,):
            yield from ({IMAGE: pixels_of(sample, fitted.spec)} for sample in samples)
        elif fitted.recipe is None:
            yield from (store.features([sample], Recipe(fitted.features, fitted.spec)) for sample in samples)
        else:
            (stored,) = views_stored(self.job, samples, fitted.recipe, 1)
            yield from (store.inputs(each, fitted.recipe, fitted.features) for each in stored)

    def drawn(self) -> Iterator[Inputs]:
        for pixels in drawn_pictures(self.fitted.spec, _DRAWN):
            own = self.fitted.features == (IMAGE,)
            yield {IMAGE: pixels} if own else self.job.store.of_pixels(pixels, self.fitted.features)


def drawn_pictures(spec: PreprocessSpec, count: int) -> Iterator[np.ndarray]:
    """uint8 (1, H, W, C) each, in turn: noise with a grain of a pixel to a quarter of the side, stripes, one colour.

    They are the same each time.
    """
    random = np.random.default_rng(0)
    channels = 1 if spec.colour == "L" else 3
    for place in range(count):
        kind = (_noise, _stripes, _plain)[place % 3]
        pixels = kind(random, spec.height, spec.width, channels)  # float (H, W, C), 0 to 1
        yield (pixels * 255).round().astype(np.uint8)[None]


def _noise(random: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    grain = int(2 ** random.uniform(0, np.log2(max(2, min(height, width) // 4))))
    rough = random.random((-(-height // grain), -(-width // grain), channels))
    return rough.repeat(grain, 0).repeat(grain, 1)[:height, :width]


def _stripes(random: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    across, down = random.uniform(-0.5, 0.5, 2)  # cycles a pixel
    waves = np.sin(2 * np.pi * (across * np.arange(width) + down * np.arange(height)[:, None]))[..., None]
    dark, light = random.random((2, channels))
    return np.asarray(dark + (light - dark) * (waves + 1) / 2)


def _plain(random: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    return np.broadcast_to(random.random(channels), (height, width, channels))
