"""How classification is measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trunkline.core.measuring import Ask, Known
from trunkline.core.results import Classification, Result
from trunkline.heads.classification.scores import ClassificationScores
from trunkline.heads.classification.several import presence_of, read_thresholds
from trunkline.heads.classification.several_scores import SeveralScores
from trunkline.heads.classification.task import MANY

_TOP = 5
ALL = {"top_k": 1000, "threshold": 0.0}  # of a head with several labels


class Measure:
    """By the best classes of each picture, or, with several labels, by the scores of all."""

    def __init__(self, known: Known) -> None:
        self._classes, self._settings = known.classes, known.settings

    @property
    def _several(self) -> bool:
        return self._settings.get("labels") == MANY

    def params(self) -> dict[str, Any]:
        return ALL if self._several else {"top_k": min(_TOP, len(self._classes))}

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> ClassificationScores | SeveralScores:
        if not self._several:
            parents = self._settings.get("parents", ())
            return scores_of(ask(samples), samples, self._classes, parents)
        thresholds = read_thresholds(self._settings.get("thresholds"), len(self._classes), "the head")
        return several_scores_of(ask(samples), samples, self._classes, thresholds)


def scores_of(
    answers: Sequence[Result], samples: Sequence[Any], classes: Sequence[str], parents: Sequence[Sequence[str]] = ()
) -> ClassificationScores:
    """Of samples with a label each. parents: of the classes, for each level."""
    truth = np.array([each.label for each in samples], np.int64)
    return ClassificationScores.of(_checked(answers), truth, classes, parents)


def several_scores_of(
    answers: Sequence[Result], samples: Sequence[Any], classes: Sequence[str], thresholds: np.ndarray
) -> SeveralScores:
    """Of samples with labels; answers are to `ALL`. thresholds: float (classes,)."""
    truth = presence_of([sample.labels for sample in samples], len(classes))
    return SeveralScores.of(_checked(answers), truth, classes, thresholds)


def _checked(answers: Sequence[Result]) -> list[Classification]:
    found = [answer for answer in answers if isinstance(answer, Classification)]
    assert len(found) == len(answers)
    return found
