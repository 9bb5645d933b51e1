"""How keypoints are measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trunkline.core.errors import InvalidRequestError
from trunkline.core.measuring import Ask, Known
from trunkline.core.results import Result
from trunkline.heads.keypoints.scores import KeypointScores
from trunkline.heads.keypoints.settings import UNIFORM_SIGMA, PointSettings, read_settings
from trunkline.heads.keypoints.task import Keypoints

NO_POINTS = "the data has no named points: COCO's JSON with keypoints, YOLO's poses, or a CSV file file,x1,y1,…"


class Measure:
    """By how far points are off, as shares of what the head was learned with: a distance, or the size of the box."""

    def __init__(self, known: Known) -> None:
        self._names, self._settings = known.classes, read_settings(known.settings, known.classes, "the head")

    def params(self) -> dict[str, Any]:
        return {}

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> KeypointScores:
        if any(sample.points is None for sample in samples):
            raise InvalidRequestError(NO_POINTS)
        return scores_of(ask(samples), samples, self._names, self._settings)


def scores_of(
    answers: Sequence[Result], samples: Sequence[Any], names: Sequence[str], settings: PointSettings
) -> KeypointScores:
    """Of samples with points (`PointTruth`), each answered whole."""
    shape = len(samples), len(names)
    truth, found = np.full((*shape, 2), np.nan), np.zeros((*shape, 2))
    scores, boxes = np.zeros(shape[0]), np.zeros((shape[0], 2))
    for row, (answer, sample) in enumerate(zip(answers, samples, strict=True)):
        assert isinstance(answer, Keypoints)
        for each in sample.points.places:
            truth[row, each.label] = each.x, each.y
        box = sample.points.box
        boxes[row] = box.x_max - box.x_min, box.y_max - box.y_min
        found[row] = [(point.x, point.y) for point in answer.objects[0].points]
        scores[row] = answer.objects[0].score
    sigmas = np.array(settings.sigmas or [UNIFORM_SIGMA] * len(names))
    return KeypointScores(
        truth=truth,
        found=found,
        scores=scores,
        areas=boxes.prod(axis=1),
        units=_units(truth, boxes, names, settings),
        sigmas=sigmas,
        names=tuple(names),
        distance=settings.distance,
        skeleton=settings.skeleton,
    )


def _units(truth: np.ndarray, boxes: np.ndarray, names: Sequence[str], settings: PointSettings) -> np.ndarray:
    """float64 (N,): what errors are shares of, in pixels; nan where one of the two points is not known."""
    if settings.distance is None:
        return np.asarray(np.sqrt(boxes.prod(axis=1)))
    one, other = (names.index(name) for name in settings.distance)
    found = np.linalg.norm(truth[:, one] - truth[:, other], axis=1)
    return np.where(found > 0, found, np.nan)
