"""Distances of places to a score, a verdict and a heat map."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.head import Arrays
from trunkline.core.params import parse_params
from trunkline.core.preprocess import Frame
from trunkline.heads.anomaly.heat import heat_of
from trunkline.heads.anomaly.settings import read_settings
from trunkline.heads.anomaly.task import Anomaly, AnomalyParams

OUTPUT = "distances"
_TENTH = 10


class Head:
    """Its model has one output, `distances` float32 (N, 1 or 2, h, w): how far each place is from good.

    h and w are free. The last channel is the heat map. A picture's distance is the mean of the first channel, of its
    farthest tenth, or the largest, as setting `score` says.
    """

    task: ClassVar[str] = "anomaly"

    def __init__(self, bundle: Bundle[HeadManifest]) -> None:
        """Raises ModelInvalidError where settings, preprocessing or the golden output do not fit."""
        manifest = bundle.manifest
        self._name = manifest.name
        self._settings = read_settings(manifest.settings, bundle.path)
        self._good = np.sort(np.array(self._settings.good, np.float64))  # (G,)
        if manifest.preprocess.resize == "crop":
            raise ModelInvalidError(f"{bundle.path}: resize 'crop' leaves pixels unseen; use 'squash' or 'pad'")
        _, golden = bundle.read_golden()
        if OUTPUT not in golden:
            raise ModelInvalidError(f"{bundle.path}: an anomaly head needs the output {OUTPUT!r} in golden.npz")
        self._check_shape(golden[OUTPUT].shape)

    def decode(self, outputs: Arrays, frame: Frame, params: Mapping[str, Any]) -> Anomaly:
        """distances (1, 1 or 2, h, w) -> score, verdict and heat map in the frame of the caller's picture.

        Raises InvalidRequestError for a parameter or the frame, ModelInvalidError where a distance is no number.
        """
        asked = parse_params(AnomalyParams, params)
        if not frame.shows_all:
            raise InvalidRequestError("anomalies are looked for in a frame in which the whole picture lies")
        distances = outputs[OUTPUT]
        self._check_shape(distances.shape)
        if not np.isfinite(distances).all():
            raise ModelInvalidError(f"head {self._name!r} gave distances that are no finite numbers", head=self._name)
        distance = picture_distance(distances[:, :1], self._settings.score)[0]
        score = float(distance) / self._settings.limit
        heat = heat_of(distances[0, -1] / self._settings.place_limit, frame, png=asked.heat_map)
        return Anomaly(score, score >= asked.threshold, self._good_share(distance), heat.area, heat.png)

    def answer_pixels(self, frame: Frame) -> int:
        """Pixels that an answer has, which is what a large one costs."""
        return frame.image_width * frame.image_height

    def _good_share(self, distance: float) -> float:
        """Of the good pictures that were held back, and of this one, which share is as far.

        So it is never 0. Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005, section 2.2.
        """
        as_far = len(self._good) - np.searchsorted(self._good, distance)
        return float((as_far + 1) / (len(self._good) + 1))

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 4 or shape[1] not in (1, 2) or 0 in shape:
            raise ModelInvalidError(
                f"head {self._name!r} needs the output {OUTPUT!r} in shape (N, 1 or 2, h, w), not {shape}",
                head=self._name,
            )


def picture_distance(distances: np.ndarray, score: str) -> np.ndarray:
    """float32 (N, 1, h, w) -> float64 (N,), the mean of the places, of the farthest tenth, or the largest."""
    places = distances.reshape(len(distances), -1).astype(np.float64)
    count = {"mean": places.shape[1], "farthest": max(1, places.shape[1] // _TENTH), "max": 1}[score]
    return np.asarray(np.partition(places, -count, axis=1)[:, -count:].mean(axis=1))
