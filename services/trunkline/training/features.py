"""Features through ONNX Runtime, computed once for each view of a picture and kept on disk by digest."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trunkline.core.bundle import BackboneManifest, Bundle
from trunkline.core.cpu import available_cores
from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.npy import read_npy
from trunkline.core.preprocess import PIXELS_VERSION, STRIDE, Frame, PreprocessSpec, frame_of, preprocess
from trunkline.core.train_choices import Augmentation
from trunkline.serving.session import load_session
from trunkline.training import group
from trunkline.training.augment import VERSION, moved_with, view_with
from trunkline.training.data.dataset import Sample

Progress = Callable[[int, int], None]  # done, of all

_CROPPED = ("photo", "scene", "boxes", "overhead", "pasted")
# An augmented crop is cut from a picture so much larger than the net sees, so that it is not blown up.
_MARGIN = 1.3


@dataclass(frozen=True)
class Recipe:
    """Which features of a picture, at which size, and how the views of it after the first are made.

    maps: those of the features whose maps are kept, as float16, beside the averages of all.
    cut: (height, width) of all views where they are parts of the picture alone, at the scale of the spec; then none
    is the picture as it is.
    """

    features: tuple[str, ...]
    spec: PreprocessSpec
    augmentation: Augmentation = "none"
    seed: int = 0
    maps: tuple[str, ...] = ()
    cut: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the views."""
        return self.cut or (self.spec.height, self.spec.width)

    @property
    def share(self) -> float:
        """Of the picture that a view shows."""
        return self.size[0] * self.size[1] / (self.spec.height * self.spec.width)

    def augments(self, view: int) -> bool:
        """Whether this view is not the picture as it is."""
        return view > 0 or self.cut is not None


@dataclass(frozen=True)
class Stored:
    """One view of one picture. `vector` float32 (C,): maps averaged over height and width, joined in order."""

    path: Path

    def vector(self) -> np.ndarray:
        return read_npy(self.path)

    def map(self, name: str) -> np.ndarray:
        """float16 (C, H, W)."""
        return read_npy(_beside(self.path, name))


class FeatureStore:
    """Features by picture and view.

    The key is a SHA-256 over the picture's bytes, the recipe, the view, the version of the pixels and the backbone's
    digest, so nothing stale is found. View 0 is the picture as it is.
    """

    def __init__(self, backbone: Bundle[BackboneManifest], folder: Path) -> None:
        self._digest = backbone.manifest.digest
        self._channels = {feature.name: feature.channels for feature in backbone.manifest.features}
        self._strides = {feature.name: feature.stride for feature in backbone.manifest.features}
        self._session = load_session(backbone)
        self._folder = folder

    def widths(self, features: Sequence[str]) -> dict[str, int]:
        """Channels of these features, in order. Raises InvalidRequestError for one that the backbone has not."""
        unknown = [name for name in features if name not in self._channels]
        if unknown:
            raise InvalidRequestError(f"the backbone has no feature {unknown}; it has {sorted(self._channels)}")
        return {name: self._channels[name] for name in features}

    def stored(self, samples: Sequence[Sample], recipe: Recipe, views: int, progress: Progress) -> list[list[Stored]]:
        """For each view, one for each sample, in their order. Computes what is missing; a group shares that.

        Raises DataInvalidError that names a broken picture.
        """
        wanted = [(sample, view) for view in range(views) for sample in samples]
        if group.shares():
            mine = wanted[group.rank() :: group.size()]
            group.together(lambda: list(_told(self._all(mine, recipe), len(mine), progress)))
        found = list(_told(self._all(wanted, recipe), len(wanted), progress))
        return [found[view * len(samples) : (view + 1) * len(samples)] for view in range(views)]

    def features(self, samples: Sequence[Sample], recipe: Recipe) -> dict[str, np.ndarray]:
        """The features themselves of view 0, by name, float32 (N, ...); not stored."""
        parts = [self._run(_pixels(sample, sample.encoded(), recipe, 0), recipe.features) for sample in samples]
        return {name: np.concatenate([part[name] for part in parts]) for name in recipe.features}

    def inputs(self, stored: Stored, recipe: Recipe, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        """Features of a stored view, float32 (1, ...): maps where these were kept, else maps of one place, which have
        the same average.
        """
        ends = np.cumsum([self._channels[name] for name in recipe.features])
        parts = dict(zip(recipe.features, np.split(stored.vector(), ends[:-1]), strict=True))
        return {
            name: stored.map(name).astype(np.float32)[None]
            if name in recipe.maps
            else parts[name][None, :, None, None]
            if self._strides[name]
            else parts[name][None]
            for name in wanted
        }

    def of_pixels(self, pixels: np.ndarray, features: Sequence[str]) -> dict[str, np.ndarray]:
        """The features themselves, float32 (N, ...), of pixels uint8 (N, H, W, C)."""
        return self._run(pixels, features)

    def _all(self, wanted: Sequence[tuple[Sample, int]], recipe: Recipe) -> Iterator[Stored]:
        with ThreadPoolExecutor(available_cores()) as pool:
            try:
                yield from pool.map(lambda pair: self._one(pair[0], pair[1], recipe), wanted)
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, sample: Sample, view: int, recipe: Recipe) -> Stored:
        data = sample.encoded()
        path = self._path(data, recipe, view)
        wanted = [*(_beside(path, name) for name in recipe.maps), path]
        if not all(file.is_file() for file in wanted):
            found = self._compute(_pixels(sample, data, recipe, view), recipe)
            for file, array in zip(wanted, found, strict=True):
                _write(file, array)
        return Stored(path)

    def _compute(self, pixels: np.ndarray, recipe: Recipe) -> list[np.ndarray]:
        """The maps, then the vector."""
        found = self._run(pixels, tuple(dict.fromkeys((*recipe.features, *recipe.maps))))
        parts = [found[name][0] for name in recipe.features]
        vector = np.concatenate([part.mean(axis=(1, 2)) if part.ndim == 3 else part for part in parts])
        return [*(found[name][0].astype(np.float16) for name in recipe.maps), vector]

    def _run(self, pixels: np.ndarray, features: Sequence[str]) -> dict[str, np.ndarray]:
        return self._session.run({IMAGE: pixels}, features)

    def _path(self, data: bytes, recipe: Recipe, view: int) -> Path:
        digest = hashlib.sha256(data)
        # All pictures as they are share one entry, whatever augmentation the others get.
        seed = recipe.seed if recipe.augmentation != "mirror" else 0
        seen = f"{VERSION}|{recipe.augmentation}|{seed}|{view}" if recipe.augments(view) else ""
        seen += f"|{recipe.cut}" if recipe.cut else ""
        text = f"{recipe.spec.fingerprint}|{recipe.features}|{seen}|{PIXELS_VERSION}|{self._digest}"
        digest.update(text.encode())
        name = digest.hexdigest()
        return self._folder / name[:2] / f"{name}.npy"


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.stem}.{name}.npy")


def _write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another reader finds a whole file, or none; equal pictures are written side by side, so each has its own.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as aside:
        np.save(aside, array)
    Path(aside.name).replace(path)


def pixels_of(sample: Sample, spec: PreprocessSpec) -> np.ndarray:
    """uint8 (1, H, W, C). Raises DataInvalidError that names the picture."""
    return _opened(sample, sample.encoded(), spec)[0]


def _pixels(sample: Sample, data: bytes, recipe: Recipe, view: int) -> np.ndarray:
    return annotated_view(sample, data, recipe, view, None)[0]


def annotated_view(
    sample: Sample, data: bytes, recipe: Recipe, view: int, annotate: Callable[[Sample, Frame], Any] | None
) -> tuple[np.ndarray, Any]:
    """A view of a picture, uint8 (1, H, W, C), with what `annotate` knows of it, moved along.

    Raises DataInvalidError that names the picture.
    """
    pixels, frame = _opened(sample, data, _seen_spec(recipe, view))
    annotation = annotate(sample, frame) if annotate is not None else None
    if not recipe.augments(view):
        return pixels, annotation
    seed = _seed(data, recipe, view)
    return view_with(pixels, annotation, recipe.augmentation, *recipe.size, seed, recipe.share)


def annotation_of_view(
    sample: Sample, data: bytes, recipe: Recipe, view: int, annotate: Callable[[Sample, Frame], Any]
) -> Any:
    """What `annotated_view` says of the view, without decoding the picture. Raises DataInvalidError."""
    image = _encoded(sample, data)
    annotation = annotate(sample, frame_of(image.width, image.height, _seen_spec(recipe, view)))
    if not recipe.augments(view):
        return annotation
    return moved_with(annotation, recipe.augmentation, *recipe.size, _seed(data, recipe, view), recipe.share)


def _seen_spec(recipe: Recipe, view: int) -> PreprocessSpec:
    return _larger(recipe.spec) if recipe.augments(view) and recipe.augmentation in _CROPPED else recipe.spec


def _seed(data: bytes, recipe: Recipe, view: int) -> int:
    return int.from_bytes(hashlib.sha256(data + f"|{recipe.seed}|{view}".encode()).digest()[:4], "big")


def _larger(spec: PreprocessSpec) -> PreprocessSpec:
    sides = {side: STRIDE * round(_MARGIN * getattr(spec, side) / STRIDE) for side in ("width", "height")}
    return spec.model_copy(update=sides)


def _opened(sample: Sample, data: bytes, spec: PreprocessSpec) -> tuple[np.ndarray, Frame]:
    try:
        return preprocess(_encoded(sample, data), spec)
    except InvalidRequestError as error:
        raise DataInvalidError.at(sample.name, error.message) from error


def _encoded(sample: Sample, data: bytes) -> EncodedImage:
    try:
        return EncodedImage(data)
    except InvalidRequestError as error:
        raise DataInvalidError.at(sample.name, error.message) from error


def _told(items: Iterator[Stored], total: int, progress: Progress) -> Iterator[Stored]:
    for done, item in enumerate(items, 1):
        yield item
        progress(done, total)
