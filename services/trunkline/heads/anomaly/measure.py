"""How anomaly is measured."""

from collections.abc import Sequence
from typing import Any

from trunkline.core.measuring import Ask, Known
from trunkline.core.results import Result
from trunkline.heads.anomaly.scores import AnomalyScores
from trunkline.heads.anomaly.task import Anomaly


class Measure:
    """By the scores of good and flawed pictures, and by the heat maps where masks say what is flawed."""

    def __init__(self, known: Known) -> None:
        self._classes = known.classes

    def params(self) -> dict[str, Any]:
        return {}

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> AnomalyScores:
        return scores_of(ask(samples), samples, self._classes or dataset.classes)


def scores_of(answers: Sequence[Result], samples: Sequence[Any], classes: Sequence[str]) -> AnomalyScores:
    """Of samples whose label is 0 where they are good; classes: good and the kinds of flaws."""
    found = [answer for answer in answers if isinstance(answer, Anomaly)]
    masks = [None if sample.mask is None else sample.mask.load for sample in samples]
    return AnomalyScores.of(found, [sample.label or 0 for sample in samples], masks, tuple(classes))
