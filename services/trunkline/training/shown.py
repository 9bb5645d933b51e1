"""Pictures as the model of a head takes them, for what a task wants to know of its finished model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trunkline.core.exchange import IMAGE
from trunkline.core.preprocess import PreprocessSpec
from trunkline.heads.pictures import Inputs
from trunkline.training.data.dataset import Sample
from trunkline.training.features import FeatureStore, Progress, Recipe, pixels_of

_DRAWN = 64


@dataclass(frozen=True)
class ShownPictures:
    """As a model takes them that has these features under this spec. `recipe`: as features were stored, where they
    were: then they are not computed again.
    """

    store: FeatureStore
    features: tuple[str, ...]
    spec: PreprocessSpec
    train: Sequence[Sample]
    held: Sequence[Sample]
    fits_vectors: bool
    progress: Progress
    recipe: Recipe | None = None

    def inputs(self, samples: Sequence[Sample]) -> Iterator[Inputs]:
        """Raises DataInvalidError that names a broken picture."""
        if self.recipe is not None:
            (stored,) = self.store.stored(samples, self.recipe, 1, self.progress)
            yield from (self.store.inputs(each, self.recipe, self.features) for each in stored)
            return
        plain = Recipe(self.features, self.spec)
        for done, sample in enumerate(samples, 1):
            own = self.features == (IMAGE,)
            yield {IMAGE: pixels_of(sample, self.spec)} if own else self.store.features([sample], plain)
            self.progress(done, len(samples))

    def drawn(self) -> Iterator[Inputs]:
        for pixels in drawn_pictures(self.spec, _DRAWN):
            yield {IMAGE: pixels} if self.features == (IMAGE,) else self.store.of_pixels(pixels, self.features)


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
