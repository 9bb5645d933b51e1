"""The wrapped graph against the file as it came, on the same picture."""

import numpy as np

from trunkline.core.errors import ModelInvalidError
from trunkline.core.exchange import IMAGE
from trunkline.core.preprocess import Pixels
from trunkline.serving.session import OnnxSession
from trunkline.training.imported.detector_file import DetectorFile
from trunkline.training.imported.layouts.layout import BOXES, SCORES, Layout, Scaling

RUN_S = 30.0  # the longest that a detector may take for a picture; large ones take 5 s on a core
_TOLERANCE = 1e-3  # of the largest value, at least of 1


def answered(plain: OnnxSession, detector: DetectorFile, scaling: Scaling, picture: Pixels) -> dict[str, np.ndarray]:
    """What the file as it came answers about a picture uint8 (1, H, W, C)."""
    planes = scaling.planes(picture).reshape(detector.input_shape)
    return plain.try_run({detector.input_name: planes}, within_s=RUN_S)


def difference(
    plain: OnnxSession, session: OnnxSession, picture: Pixels, detector: DetectorFile, layout: Layout
) -> float:
    """Largest difference between the outputs of the head and those of the file, decoded by numpy; relative.

    picture: uint8 (1, H, W, C). Raises ModelInvalidError where it is above 1e-3, or a value is no finite number.
    """
    wanted = layout.decoded(answered(plain, detector, layout.scaling, picture))
    found = session.try_run({IMAGE: picture}, within_s=RUN_S)
    worst = 0.0
    for name, want in zip((BOXES, SCORES), wanted, strict=True):
        if not np.isfinite(found[name]).all():
            raise ModelInvalidError(f"the model gives {name} that are not finite numbers")
        if found[name].shape != want.shape:
            raise ModelInvalidError(f"the head gives {len(found[name][0])} boxes, the file {len(want[0])}")
        off = float(np.abs(found[name] - want).max(initial=0)) / max(1.0, float(np.abs(want).max(initial=0)))
        worst = max(worst, off)
    if worst > _TOLERANCE:
        raise ModelInvalidError(
            f"the boxes of the head differ from those of the file by {worst:.2g}: nothing was written"
        )
    if wanted[1].min(initial=0) < -_TOLERANCE or wanted[1].max(initial=0) > 1 + _TOLERANCE:
        raise ModelInvalidError("the scores of the model are not probabilities from 0 to 1")
    return worst
