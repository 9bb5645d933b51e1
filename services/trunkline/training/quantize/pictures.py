"""The pictures to calibrate with, and those to measure on, preprocessed as heads want them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.catalog import current_catalog
from trunkline.core.errors import InvalidRequestError, ModelInvalidError, NotFoundError, TrunklineError
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import PreprocessSpec, preprocess
from trunkline.core.repository import Repository
from trunkline.training.quantize.request import LEAST_PICTURES, QuantizeRequest

_OTHER_SPECS = 4  # every fourth picture is seen under a spec of a head, in turn

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Pictures:
    """uint8 (1, H, W, 3) each. calibration: under several specs. held_back: paths that nothing is fitted to."""

    calibration: Sequence[np.ndarray]
    held_back: Sequence[Path]
    left_out: int


def heads_on(repository: Repository, backbone: BackboneManifest) -> list[Bundle[HeadManifest]]:
    """The heads, in their default versions, that take features of this backbone; broken ones are passed over."""
    found = []
    for name in repository.names("head"):
        try:
            head = repository.head(name, current_catalog(repository.root, name).default)
        except (ModelInvalidError, NotFoundError):
            continue
        if head.manifest.backbone.digest == backbone.digest and head.manifest.features != (IMAGE,):
            found.append(head)
    return found


def read_pictures(
    request: QuantizeRequest, backbone: BackboneManifest, heads: Sequence[Bundle[HeadManifest]], progress: Progress
) -> Pictures:
    """Raises InvalidRequestError where too few can be read."""
    paths = sorted(set(request.pictures))
    random.Random(0).shuffle(paths)
    count = min(request.calibrated, len(paths) // 2)
    others = [each.manifest.preprocess for each in heads if each.manifest.preprocess != backbone.preprocess]
    specs = list({spec.fingerprint: spec for spec in others}.values())
    calibration = []
    for place, path in enumerate(paths[:count]):
        turn, rest = divmod(place, _OTHER_SPECS)
        spec = specs[turn % len(specs)] if specs and rest == _OTHER_SPECS - 1 else backbone.preprocess
        calibration.append(read_picture(path, spec))
        progress("pictures", place + 1, count)
    found = [picture for picture in calibration if picture is not None]
    if len(found) < LEAST_PICTURES:
        raise InvalidRequestError(
            f"only {len(found)} of {count} pictures can be read: look at them with: trunkline classify"
        )
    return Pictures(found, paths[count : count + request.measured], count - len(found))


def read_picture(path: Path, spec: PreprocessSpec) -> np.ndarray | None:
    """uint8 (1, H, W, 3), or None where it is no picture that the service would take."""
    try:
        return preprocess(EncodedImage(path.read_bytes()), spec)[0]
    except (OSError, TrunklineError):
        return None
