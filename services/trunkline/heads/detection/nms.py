"""The best boxes: by score, then without those that overlap a better one."""

import numpy as np


def best_pairs(scores: np.ndarray, least: float, most: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (M, K) -> rows int (n,) and classes int (n,) of the best pairs of box and class, best first.

    n is at most `most`. A pair is one whose score is at least `least`, and above 0; of equal ones the first comes
    first.
    """
    # In the precision of the scores, so that a score that reads 0.7 passes a threshold of 0.7.
    rows, classes = np.nonzero((scores >= np.float32(least)) & (scores > 0))
    found = scores[rows, classes]  # (pairs,)
    if len(found) > most:
        bound = np.partition(found, -most)[-most]
        good = found >= bound  # some more than `most` where several have the score of the last
        rows, classes, found = rows[good], classes[good], found[good]
    order = np.argsort(-found, kind="stable")[:most]
    return rows[order], classes[order]


def suppress(boxes: np.ndarray, classes: np.ndarray | None, iou: float, most: int) -> np.ndarray:
    """Greedy non-maximum suppression, exact: the places int (k,), k <= `most`, of the boxes that stay.

    boxes: float (n, 4), best first, x_min y_min x_max y_max, each with an area. A box goes where it overlaps a
    better one that stays by an intersection over union of more than `iou`; with `classes` int (n,), only where both
    are of one class. Source: Felzenszwalb et al. 2010, Object Detection with Discriminatively Trained Part-Based
    Models, section 7.2, with the overlap of Girshick et al. 2014 (R-CNN), section 2.2.
    """
    corners = boxes.astype(np.float64).T  # (4, n)
    areas = (corners[2] - corners[0]) * (corners[3] - corners[1])  # (n,)
    left = np.arange(len(boxes))  # places of those that no better one has suppressed, best first
    kept: list[int] = []
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        goes = _overlaps(corners, areas, best, left) > iou
        if classes is not None:
            goes &= classes[left] == classes[best]
        left = left[~goes]
    return np.array(kept, np.intp)


def _overlaps(corners: np.ndarray, areas: np.ndarray, one: int, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with others: float64 (len(others),)."""
    x_min, y_min, x_max, y_max = corners[:, others]
    wide = np.minimum(x_max, corners[2, one]) - np.maximum(x_min, corners[0, one])
    high = np.minimum(y_max, corners[3, one]) - np.maximum(y_min, corners[1, one])
    common = np.maximum(wide, 0) * np.maximum(high, 0)
    return np.asarray(common / (areas[others] + areas[one] - common))
