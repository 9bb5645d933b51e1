"""How regression is measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trunkline.core.measuring import Ask, Known
from trunkline.core.results import Regression, Result
from trunkline.heads.regression.scores import RegressionScores


class Measure:
    """By the errors of each target, in its unit."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def params(self) -> dict[str, Any]:
        return {}

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> RegressionScores:
        return scores_of(ask(samples), samples, self._known)


def scores_of(answers: Sequence[Result], samples: Sequence[Any], known: Known) -> RegressionScores:
    """Of samples with a number for each target."""
    values = [[value.value for value in answer.values] for answer in answers if isinstance(answer, Regression)]
    shape = (len(samples), len(known.targets))
    truth = np.array([each.targets for each in samples], np.float32).reshape(shape).astype(np.float64)
    return RegressionScores(truth, np.array(values, np.float64), known.targets, known.units, known.angles)
