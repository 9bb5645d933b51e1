"""Places in the model input to named points of the caller's picture."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import ModelInvalidError
from trunkline.core.head import Arrays
from trunkline.core.params import parse_params
from trunkline.core.preprocess import Frame
from trunkline.heads.keypoints.settings import read_settings
from trunkline.heads.keypoints.task import Keypoint, KeypointObject, Keypoints, KeypointsParams

OUTPUT = "points"
_ROUNDING = 1e-3  # by which a share may be off


class Head:
    """Finds points. Its model has one output, `points` float32 (N, K, 4), for each of the K labels:

    x and y as shares of the model input, (0, 0) the outer corner of its top-left pixel; score and visibility, 0 to 1.
    """

    task: ClassVar[str] = "keypoints"

    def __init__(self, bundle: Bundle[HeadManifest]) -> None:
        """Raises ModelInvalidError where labels, settings or the golden output do not fit one another."""
        self._name, self._labels = bundle.manifest.name, bundle.labels
        if not self._labels:
            raise ModelInvalidError(f"{bundle.path}: a keypoints head needs labels.txt, one point per line")
        self._skeleton = read_settings(bundle.manifest.settings, self._labels, bundle.path).skeleton
        _, golden = bundle.read_golden()
        if OUTPUT not in golden:
            raise ModelInvalidError(f"{bundle.path}: a keypoints head needs the output {OUTPUT!r} in golden.npz")
        self._check_shape(golden[OUTPUT])

    def decode(self, outputs: Arrays, frame: Frame, params: Mapping[str, Any]) -> Keypoints:
        """points (1, K, 4) -> one object with its points in the frame of the caller's picture.

        Raises InvalidRequestError for a parameter, ModelInvalidError where a number of the model is none.
        """
        least = parse_params(KeypointsParams, params).score_threshold or 0.0
        self._check_shape(outputs[OUTPUT])
        values = outputs[OUTPUT][0].astype(np.float64)  # (K, 4)
        shares = values[:, 2:]
        if not np.isfinite(values).all() or shares.min() < -_ROUNDING or shares.max() > 1 + _ROUNDING:
            raise ModelInvalidError(
                f"head {self._name!r} gave places, scores or visibilities that are no sound numbers", head=self._name
            )
        x = values[:, 0] * frame.input_width * frame.x_scale + frame.x_offset  # (K,)
        y = values[:, 1] * frame.input_height * frame.y_scale + frame.y_offset  # (K,)
        scores, seen = shares.clip(0, 1).T.tolist()
        points = map(Keypoint, self._labels, x.tolist(), y.tolist(), scores, seen)
        kept = tuple(point for point in points if point.score >= least)
        return Keypoints((KeypointObject(kept, float(np.mean(scores))),), self._skeleton)

    def _check_shape(self, points: np.ndarray) -> None:
        if points.ndim != 3 or points.shape[1:] != (len(self._labels), 4):
            raise ModelInvalidError(
                f"head {self._name!r} has {len(self._labels)} label(s), "
                f"but the output {OUTPUT!r} has shape {list(points.shape)}",
                head=self._name,
            )
