"""How similarity is measured."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trunkline.core.errors import InvalidRequestError
from trunkline.core.measuring import Ask, Known
from trunkline.core.results import Embedding, Result
from trunkline.heads.similarity.few_shot import Run
from trunkline.heads.similarity.scores import Pairs, SimilarityScores


class Measure:
    """By the vectors: with what the data set has beside, other pictures of the same classes, and one-shot runs."""

    def __init__(self, known: Known) -> None:
        """Raises InvalidRequestError without classes."""
        if len(known.classes) < 2:
            raise InvalidRequestError(
                "the data has no classes: a similarity head needs class folders, labels or pairs"
            )
        self._classes = known.classes

    def params(self) -> dict[str, Any]:
        return {}

    def calibrated(self, answers: Sequence[Result], samples: Sequence[Any]) -> dict[str, Any]:
        """Threshold and logistic curve on all pairs of samples with a label; {} where nothing can be said."""
        from trunkline.heads.similarity.calibration import distances, fit_calibration, pairs_of

        first, second, same = pairs_of(_labels(samples))
        found = fit_calibration(distances(_vectors(answers), first, second), same)
        if found is None:
            return {}
        return {"threshold": found.threshold, "calibration": {"a": found.slope, "b": found.offset}}

    def scores_in(self, ask: Ask, samples: Sequence[Any], dataset: Any) -> SimilarityScores:
        measured, known = {each.name for each in samples}, {each.label for each in samples}
        others = [each for each in dataset.of_split("train", "val") if each.name not in measured]
        others = [each for each in others if each.label in known]
        trials = [each for run in dataset.runs for each in (*run.support, *run.queries)]
        answers = ask([*samples, *others, *trials])
        found, rest = scores_of(answers[: len(samples)], samples, self._classes), _Reader(answers[len(samples) :])
        reference = rest.next(len(others)), _labels(others)
        runs = (
            Run(rest.next(len(run.support)), rest.next(len(run.queries)), np.array(run.truth)) for run in dataset.runs
        )
        enough = len(np.unique(reference[1])) > 1
        return replace(found, reference=reference if enough else None, runs=tuple(runs))


def scores_of(answers: Sequence[Result], samples: Sequence[Any], classes: Sequence[str]) -> SimilarityScores:
    """Of samples with a label, and the pairs that the data names."""
    calibration = answers[0].calibration if isinstance(answers[0], Embedding) else None
    return SimilarityScores(_vectors(answers), _labels(samples), tuple(classes), calibration, _listed(samples))


class _Reader:
    """Answers in the order in which they were asked for."""

    def __init__(self, answers: Sequence[Result]) -> None:
        self._answers, self._at = answers, 0

    def next(self, count: int) -> np.ndarray:
        """float32 (count, D)"""
        part = self._answers[self._at : self._at + count]
        self._at += count
        return _vectors(part)


def _vectors(answers: Sequence[Result]) -> np.ndarray:
    """float32 (N, D)"""
    return np.array([answer.values for answer in answers if isinstance(answer, Embedding)], np.float32)


def _labels(samples: Sequence[Any]) -> np.ndarray:
    return np.array([sample.label for sample in samples], np.int64)


def _listed(samples: Sequence[Any]) -> Pairs | None:
    """The pairs that the data names, where it names any."""
    place = {sample.name: index for index, sample in enumerate(samples)}
    named = [
        (index, place[other], same)
        for index, sample in enumerate(samples)
        for other, same in sample.pairs
        if other in place
    ]
    if not named:
        return None
    first, second, same = zip(*named, strict=True)
    return np.array(first, np.int64), np.array(second, np.int64), np.array(same, bool)
