"""How detection is measured."""

from collections.abc import Sequence
from typing import Any, Final

from trunkline.core.errors import InvalidRequestError
from trunkline.core.measuring import Ask, Known
from trunkline.core.results import Detections, Result
from trunkline.heads.detection.scores import DetectionScores

NO_BOXES: Final = "the data has no boxes: detection needs COCO JSON, Pascal VOC XML or YOLO text beside its pictures"
_LEAST_SCORE = 0.01  # of answers that are measured: average precision looks at the unlikely ones too
_MOST = 100


class Measure:
    """By average precision, of boxes and of outlines where there are some."""

    def __init__(self, known: Known) -> None:
        self._classes = known.classes

    def params(self) -> dict[str, Any]:
        return measured_params()

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> DetectionScores:
        check_boxes(samples)
        return scores_of(ask(samples), samples, self._classes)


def measured_params() -> dict[str, Any]:
    """What a head is asked for when it is measured."""
    return {"score_threshold": _LEAST_SCORE, "max_detections": _MOST}


def check_boxes(samples: Sequence[Any]) -> None:
    """Raises InvalidRequestError where a sample has none."""
    if any(sample.objects is None for sample in samples):
        raise InvalidRequestError(NO_BOXES)


def scores_of(answers: Sequence[Result], samples: Sequence[Any], classes: Sequence[str]) -> DetectionScores:
    """Of samples with objects. Raises InvalidRequestError without."""
    check_boxes(samples)
    found = [answer for answer in answers if isinstance(answer, Detections)]
    return DetectionScores.of(found, [sample.objects for sample in samples], tuple(classes))
