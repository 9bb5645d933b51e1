"""Features through ONNX Runtime, computed once for each picture and kept on disk by digest."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trunkline.core.bundle import BackboneManifest, Bundle
from trunkline.core.cpu import available_cores
from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import PreprocessSpec, preprocess
from trunkline.serving.session import load_session
from trunkline.training.data.dataset import Sample

Progress = Callable[[int, int], None]  # done, of all


@dataclass(frozen=True)
class Recipe:
    """Which features of a picture, at which size. mirror: the picture seen in a mirror, a second view of it."""

    features: tuple[str, ...]
    spec: PreprocessSpec
    mirror: bool = False


class FeatureStore:
    """Vectors float32 (C,) by picture: maps averaged over height and width, joined in the order of the recipe.

    The key is a SHA-256 over the picture's bytes, the recipe and the backbone's digest, so nothing stale is found.
    """

    def __init__(self, backbone: Bundle[BackboneManifest], folder: Path) -> None:
        self._digest = backbone.manifest.digest
        self._channels = {feature.name: feature.channels for feature in backbone.manifest.features}
        self._session = load_session(backbone)
        self._folder = folder

    def widths(self, features: Sequence[str]) -> dict[str, int]:
        """Channels of these features, in order. Raises InvalidRequestError for one that the backbone has not."""
        unknown = [name for name in features if name not in self._channels]
        if unknown:
            raise InvalidRequestError(f"the backbone has no feature {unknown}; it has {sorted(self._channels)}")
        return {name: self._channels[name] for name in features}

    def vectors(self, samples: Sequence[Sample], recipe: Recipe, progress: Progress) -> np.ndarray:
        """float32 (N, C), in the order of the samples. Raises DataInvalidError that names a broken picture."""
        with ThreadPoolExecutor(available_cores()) as pool:
            rows = []
            for done, row in enumerate(pool.map(lambda sample: self._vector(sample, recipe), samples), 1):
                rows.append(row)
                progress(done, len(samples))
        return np.stack(rows)

    def features(self, samples: Sequence[Sample], recipe: Recipe) -> dict[str, np.ndarray]:
        """The features themselves, by name, float32 (N, ...); not stored."""
        parts = [self._run(sample.read(), recipe) for sample in samples]
        return {name: np.concatenate([part[name] for part in parts]) for name in recipe.features}

    def _vector(self, sample: Sample, recipe: Recipe) -> np.ndarray:
        data = sample.read()
        path = self._path(data, recipe)
        if path.is_file():
            return np.asarray(np.load(path, allow_pickle=False))
        try:
            vector = self._compute(data, recipe)
        except InvalidRequestError as error:
            raise DataInvalidError.at(sample.name, error.message) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another reader finds a whole file, or none; equal pictures are written side by side, so each has its own.
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as aside:
            np.save(aside, vector)
        Path(aside.name).replace(path)
        return vector

    def _compute(self, data: bytes, recipe: Recipe) -> np.ndarray:
        found = self._run(data, recipe)
        return np.concatenate(
            [
                found[name][0].mean(axis=(1, 2)) if found[name].ndim == 4 else found[name][0]
                for name in recipe.features
            ]
        )

    def _run(self, data: bytes, recipe: Recipe) -> dict[str, np.ndarray]:
        pixels, _ = preprocess(EncodedImage(data), recipe.spec)  # (1, H, W, 3)
        if recipe.mirror:
            pixels = np.ascontiguousarray(pixels[:, :, ::-1])
        return self._session.run({IMAGE: pixels}, recipe.features)

    def _path(self, data: bytes, recipe: Recipe) -> Path:
        digest = hashlib.sha256(data)
        digest.update(f"{recipe.spec.fingerprint}|{recipe.features}|{recipe.mirror}|{self._digest}".encode())
        name = digest.hexdigest()
        return self._folder / name[:2] / f"{name}.npy"
