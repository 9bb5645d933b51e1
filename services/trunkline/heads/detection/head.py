"""Boxes with a score for each class to the objects of the caller's picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.head import Arrays
from trunkline.core.params import parse_params
from trunkline.core.preprocess import Frame
from trunkline.core.results import Box, Detection, Detections, RunLengthMask, ScoredLabel
from trunkline.core.steps import between_steps
from trunkline.heads.detection.frames import clip, has_area, to_picture
from trunkline.heads.detection.nms import best_pairs, suppress
from trunkline.heads.detection.paste import paste, trace
from trunkline.heads.detection.settings import read_settings
from trunkline.heads.detection.task import DetectParams

BOXES, SCORES, MASKS = "boxes", "scores", "masks"
_ROUNDING = 1e-3  # by which a probability may be off
_LISTED = 30  # labels in a message
_PASTED_PIXELS = 16_000_000  # of all objects of an answer; where there are more, outlines are traced
_OUTLINE_COLUMNS = 4_000_000  # of all objects of an answer: each takes some bytes of it


Outliner = Callable[[np.ndarray, np.ndarray, int, int], RunLengthMask]


class _Outputs(NamedTuple):
    """Of one picture: boxes float32 (M, 4), scores float32 (M, K), masks float32 (M, h, w) or None."""

    boxes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray | None


@dataclass(frozen=True)
class _Asked:
    """The parameters of a request with the settings of the bundle behind them."""

    score_threshold: float
    nms_iou: float
    max_detections: int
    classes: np.ndarray | None  # bool (K,), those that are wanted; None for all
    masks: bool


class Head:
    """A detector. Its model gives M boxes, which may be another number for each picture, and none at all:

    boxes: float32 (N, M, 4), x_min y_min x_max y_max in pixels of the model input, (0, 0) the outer corner of the
    top-left pixel. They may reach beyond the input.
    scores: float32 (N, M, K), the probability of each of the K labels, without background. A box is answered for
    each class whose score is good enough; a score of 0 is never answered.
    masks, where it gives outlines: float32 (N, M, h, w), such as 28x28, the probability over the whole of the box
    that a pixel is one of the object, for the class of the box's best score.

    The model need not suppress boxes that overlap, nor order them, nor drop those of low score; where it does
    suppress them, `settings.largest_nms_iou` says at which overlap.
    """

    task: ClassVar[str] = "detection"

    def __init__(self, bundle: Bundle[HeadManifest]) -> None:
        """Raises ModelInvalidError where labels, settings or the golden outputs do not fit one another."""
        manifest = bundle.manifest
        self._name, self._labels = manifest.name, bundle.labels
        if not self._labels:
            raise ModelInvalidError(f"{bundle.path}: a detection head needs labels.txt, one class per line")
        self._settings = read_settings(manifest.settings, bundle.path)
        _, golden = bundle.read_golden()
        for output in (BOXES, SCORES):
            if output not in golden:
                raise ModelInvalidError(f"{bundle.path}: a detection head needs the output {output!r} in golden.npz")
        self._has_masks = MASKS in golden
        self._check_shapes(golden)
        if not golden[BOXES].shape[1]:
            raise ModelInvalidError(f"{bundle.path}: golden.npz proves nothing without a box; make it with some")

    def decode(self, outputs: Arrays, frame: Frame, params: Mapping[str, Any]) -> Detections:
        """The model's outputs for one picture -> its objects in the frame of the caller's picture, best first.

        The best `settings.candidates` pairs of box and class are mapped into the picture and clipped to it; those of
        no area there go, then those that overlap a better one, then those beyond the largest number.
        Raises InvalidRequestError for a parameter, ModelInvalidError where a number of the model is none.
        """
        asked = self._asked(parse_params(DetectParams, params))
        found = self._checked(outputs)
        scores = found.scores if asked.classes is None else np.where(asked.classes, found.scores, np.float32(0))
        rows, classes = best_pairs(scores, asked.score_threshold, self._settings.candidates)
        whole = to_picture(found.boxes[rows], frame)  # (n, 4)
        boxes = clip(whole, frame)  # (n, 4)
        real = np.flatnonzero(has_area(boxes))
        rivals = None if self._settings.class_agnostic else classes[real]
        kept = real[suppress(boxes[real], rivals, asked.nms_iou, asked.max_detections)]
        masks = found.masks if asked.masks else None
        outline = _outliner(boxes[kept], frame) if masks is not None else paste
        return Detections(
            tuple(
                Detection(
                    box=Box(*map(float, boxes[place])),
                    label=self._label(classes[place], found.scores[rows[place], classes[place]]),
                    mask=None if masks is None else self._mask(masks[rows[place]], whole[place], frame, outline),
                )
                for place in kept
            )
        )

    def _asked(self, given: DetectParams) -> _Asked:
        settings = self._settings
        nms_iou = settings.usual_nms_iou if given.nms_iou is None else given.nms_iou
        if nms_iou > settings.largest_nms_iou:
            raise InvalidRequestError(
                f"parameter 'nms_iou': at most {settings.largest_nms_iou:g} for head {self._name!r}, whose model has "
                "dropped boxes that overlap more",
                parameter="nms_iou",
            )
        if given.masks and not self._has_masks:
            raise InvalidRequestError(
                f"parameter 'masks': head {self._name!r} gives boxes alone; leave it out", parameter="masks"
            )
        return _Asked(
            score_threshold=settings.score_threshold if given.score_threshold is None else given.score_threshold,
            nms_iou=nms_iou,
            max_detections=settings.max_detections if given.max_detections is None else given.max_detections,
            classes=self._wanted(given.classes) if given.classes else None,
            masks=self._has_masks if given.masks is None else given.masks,
        )

    def _wanted(self, names: Sequence[str]) -> np.ndarray:
        """bool (K,), true for the labels of these names."""
        for name in names:
            if name not in self._labels:
                more = f" and {len(self._labels) - _LISTED} more" if len(self._labels) > _LISTED else ""
                known = ", ".join(self._labels[:_LISTED]) + more
                raise InvalidRequestError(
                    f"parameter 'classes': head {self._name!r} knows no class {name!r}; known: {known}",
                    parameter="classes",
                )
        return np.isin(self._labels, names)

    def _label(self, index: int, score: float) -> ScoredLabel:
        return ScoredLabel(int(index), self._labels[index], min(1.0, float(score)))

    def _mask(self, mask: np.ndarray, box: np.ndarray, frame: Frame, outline: Outliner) -> RunLengthMask:
        if not np.isfinite(mask).all():
            raise self._no_numbers(MASKS)
        between_steps()
        return outline(mask, box, frame.image_width, frame.image_height)

    def _checked(self, outputs: Arrays) -> _Outputs:
        self._check_shapes(outputs)
        boxes, scores = outputs[BOXES][0], outputs[SCORES][0]
        if not np.isfinite(boxes).all() or not np.isfinite(scores).all():
            raise self._no_numbers(f"{BOXES} or {SCORES}")
        if scores.size and (scores.min() < -_ROUNDING or scores.max() > 1 + _ROUNDING):
            raise ModelInvalidError(
                f"head {self._name!r} gave scores from {scores.min():g} to {scores.max():g}: no probabilities",
                head=self._name,
            )
        return _Outputs(boxes, scores, outputs[MASKS][0] if self._has_masks else None)

    def _no_numbers(self, what: str) -> ModelInvalidError:
        return ModelInvalidError(f"head {self._name!r} gave {what} that are no finite numbers", head=self._name)

    def _check_shapes(self, outputs: Arrays) -> None:
        shapes = {name: outputs[name].shape for name in (BOXES, SCORES, MASKS) if name in outputs}
        batch = shapes[BOXES][:2]
        good = shapes[BOXES] == (*batch, 4) and shapes[SCORES] == (*batch, len(self._labels))
        if self._has_masks:
            good = good and len(shapes[MASKS]) == 4 and shapes[MASKS][:2] == batch and 0 not in shapes[MASKS][2:]
        if not good:
            raise ModelInvalidError(
                f"head {self._name!r} has {len(self._labels)} label(s), but its outputs have the shapes "
                + ", ".join(f"{name} {shape}" for name, shape in shapes.items()),
                head=self._name,
            )


def _outliner(boxes: np.ndarray, frame: Frame) -> Outliner:
    """How masks of boxes float32 (n, 4), inside of the picture, are made. Raises InvalidRequestError for too many."""
    sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)  # (n, 2), width and height
    columns = int(sides[:, 0].sum())
    if columns > _OUTLINE_COLUMNS:
        raise InvalidRequestError(
            f"the outlines of {len(boxes)} objects in a picture of {frame.image_width}x{frame.image_height} pixels "
            f"have {columns} columns in all; the limit is {_OUTLINE_COLUMNS}: send a smaller picture, a smaller "
            "'max_detections', or 'masks' false",
            parameter="max_detections",
        )
    return paste if sides.prod(axis=1).sum() <= _PASTED_PIXELS else trace
