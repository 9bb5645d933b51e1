"""Which answer is about which object, for people: at one score and one overlap."""

from collections.abc import Sequence

import numpy as np

from trunkline.core.results import Box, Detections
from trunkline.heads.detection.coco import ObjectTruth

SHOWN = 0.5  # least score of an answer that is shown and counted
_OVERLAP = 0.5


def count_matches(answer: Detections, objects: Sequence[ObjectTruth], classes: int) -> np.ndarray:
    """int64 (K + 1, K + 1): true class by answered class; the last row is "nothing there", the last column "missed".

    Each answer, best first, takes the object that it overlaps most and that no better one has taken, of whatever
    class. Answers that lie on crowds count for nothing.
    """
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    left = [each for each in objects if not each.crowd]
    crowds = [each for each in objects if each.crowd]
    for detection in answer.objects:
        if detection.label.score < SHOWN:
            continue
        overlaps = [overlap(detection.box, each.box) for each in left]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= _OVERLAP:
            counts[left.pop(best).label, detection.label.index] += 1
        elif not any(_inside(detection.box, each.box) >= _OVERLAP for each in crowds):
            counts[classes, detection.label.index] += 1
    for each in left:
        counts[each.label, classes] += 1
    return counts


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    shared = _shared(one, other)
    return shared / max(1e-9, _area(one) + _area(other) - shared)


def _inside(one: Box, other: Box) -> float:
    """Share of `one` that lies in `other`."""
    return _shared(one, other) / max(1e-9, _area(one))


def _shared(one: Box, other: Box) -> float:
    width = min(one.x_max, other.x_max) - max(one.x_min, other.x_min)
    height = min(one.y_max, other.y_max) - max(one.y_min, other.y_min)
    return max(0.0, width) * max(0.0, height)


def _area(box: Box) -> float:
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)
