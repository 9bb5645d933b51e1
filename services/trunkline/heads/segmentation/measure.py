"""How segmentation is measured."""

from collections.abc import Sequence
from typing import Any

from trunkline.core.errors import InvalidRequestError
from trunkline.core.measuring import Ask, Known
from trunkline.core.results import Result, Segmentation
from trunkline.heads.segmentation.scores import SegmentationScores

_NO_MASKS = "the data has no masks: segmentation needs a mask for each picture, or outlines of objects"


class Measure:
    """By the pixels of each class."""

    def __init__(self, known: Known) -> None:
        self._classes = known.classes

    def params(self) -> dict[str, Any]:
        return {}

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> SegmentationScores:
        if any(sample.mask is None for sample in samples):
            raise InvalidRequestError(_NO_MASKS)
        return scores_of(ask(samples), samples, self._classes)


def scores_of(answers: Sequence[Result], samples: Sequence[Any], classes: Sequence[str]) -> SegmentationScores:
    """Of samples with a mask each."""
    found = [answer for answer in answers if isinstance(answer, Segmentation)]
    return SegmentationScores.of(found, [sample.mask.load for sample in samples], tuple(classes))
