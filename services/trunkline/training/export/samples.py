"""The pictures on which an export is checked: photographs that the caller names, or generated ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trunkline.core.errors import InvalidImageError, InvalidRequestError
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import Pixels, PreprocessSpec, preprocess

_GENERATED = 3
_SEED = 20


@dataclass(frozen=True)
class Samples:
    """Encoded photographs by name; without any, pictures are generated."""

    photos: tuple[tuple[str, bytes], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.photos)

    def pictures(self, spec: PreprocessSpec) -> Pixels:
        """uint8 (n, H, W, 3), preprocessed. Raises InvalidImageError that names the photograph."""
        if not self.photos:
            return _generated(spec.height, spec.width)
        return np.concatenate([_preprocessed(name, data, spec) for name, data in self.photos])


def load_samples(paths: tuple[Path, ...]) -> Samples:
    """Raises InvalidRequestError where a file cannot be read, InvalidImageError where it is no picture."""
    try:
        samples = Samples(tuple((path.stem, path.read_bytes()) for path in paths))
    except OSError as error:
        raise InvalidRequestError(f"the sample {error.filename} cannot be read: {error.strerror}") from error
    samples.pictures(PreprocessSpec())
    return samples


def _preprocessed(name: str, data: bytes, spec: PreprocessSpec) -> Pixels:
    try:
        return preprocess(EncodedImage(data), spec)[0]
    except InvalidImageError as error:
        raise InvalidImageError(f"sample {name}: {error.message}") from error


def _generated(height: int, width: int) -> Pixels:
    """uint8 (3, H, W, 3): colour gradients with noise, the same at each call."""
    random = np.random.default_rng(_SEED)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]  # (H, W) each
    turns = random.uniform(0.5, 3, size=(_GENERATED, 1, 1, 3, 2))
    waves = np.sin(2 * np.pi * (turns[..., 0] * x[None, :, :, None] + turns[..., 1] * y[None, :, :, None]))
    noise = random.normal(0, 12, size=(_GENERATED, height, width, 3))
    pictures: Pixels = (127.5 + 100 * waves + noise).clip(0, 255).astype(np.uint8)
    return pictures
