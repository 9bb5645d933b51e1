"""How classification is measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trunkline.core.measuring import Ask, Known
from trunkline.core.results import Classification, Result
from trunkline.heads.classification.scores import ClassificationScores

_TOP = 5


class Measure:
    """By the best classes of each picture."""

    def __init__(self, known: Known) -> None:
        self._classes = known.classes

    def params(self) -> dict[str, Any]:
        return {"top_k": min(_TOP, len(self._classes))}

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> ClassificationScores:
        return scores_of(ask(samples), samples, self._classes)


def scores_of(answers: Sequence[Result], samples: Sequence[Any], classes: Sequence[str]) -> ClassificationScores:
    """Of samples with a label each."""
    found = [answer for answer in answers if isinstance(answer, Classification)]
    assert len(found) == len(answers)
    return ClassificationScores.of(found, np.array([each.label for each in samples], np.int64), classes)
