"""Logits to the most probable classes."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.head import Arrays
from trunkline.core.params import parse_params
from trunkline.core.preprocess import Frame
from trunkline.core.results import Classification, ScoredLabel
from trunkline.core.text import shown, unknown_name
from trunkline.heads.classification.hierarchy import Hierarchy, read_hierarchy
from trunkline.heads.classification.novelty import NEAREST, Novelty, read_novelty
from trunkline.heads.classification.several import read_thresholds, sigmoid
from trunkline.heads.classification.task import MANY, ClassifyParams

OUTPUT = "logits"
DEFAULT_TOP_K = 5


class Head:
    """A classifier. Its model has one output, `logits` float32 (N, classes), in the order of labels.txt.

    With setting `labels` "many" each class is there or not by itself: the scores are sigmoids, and those are answered
    that reach `thresholds`, one for each class (0.5 where absent).

    Setting `temperature` (1 where absent) divides the logits, so that scores are calibrated probabilities.
    Source: Guo et al., On Calibration of Modern Neural Networks, 2017, section 4.2.

    With setting `known` (novelty.py) the model has a second output, `nearest` float32 (N,). Setting `parents` has the
    names above each class (hierarchy.py).
    """

    task: ClassVar[str] = "classification"

    def __init__(self, bundle: Bundle[HeadManifest]) -> None:
        """Raises ModelInvalidError where labels and golden output do not fit, or the temperature is not above 0."""
        self._labels = bundle.labels
        settings = bundle.manifest.settings
        self._temperature = float(settings.get("temperature", 1.0))
        self._thresholds: np.ndarray | None = None
        if settings.get("labels") == MANY:
            self._thresholds = read_thresholds(settings.get("thresholds"), len(self._labels), bundle.path)
        self._hierarchy: Hierarchy | None = None
        if "parents" in settings:
            if self._thresholds is not None:
                raise ModelInvalidError(f"{bundle.path}: settings.parents are for one label a picture")
            self._hierarchy = read_hierarchy(settings["parents"], len(self._labels), bundle.path)
        self._novelty: Novelty | None = None
        if "known" in settings:
            self._novelty = read_novelty(settings["known"], bundle.path)
        if not self._labels:
            raise ModelInvalidError(f"{bundle.path}: a classification head needs labels.txt, one class per line")
        _, golden = bundle.read_golden()
        if OUTPUT not in golden:
            raise ModelInvalidError(f"{bundle.path}: a classification head needs the output {OUTPUT!r} in golden.npz")
        shape = golden[OUTPUT].shape
        count = shape[-1] if shape else 0
        if len(shape) != 2 or count != len(self._labels):
            raise ModelInvalidError(
                f"head {bundle.manifest.name!r} has {len(self._labels)} labels, but {count} outputs: "
                f"labels.txt needs a line for each, in their order ({OUTPUT!r} has shape {list(shape)})",
                head=bundle.manifest.name,
            )
        if self._novelty is not None and NEAREST not in golden:
            raise ModelInvalidError(f"{bundle.path}: settings.known needs the output {NEAREST!r} in golden.npz")
        if not self._temperature > 0:
            raise ModelInvalidError(f"{bundle.path}: settings.temperature must be above 0")

    def decode(self, outputs: Arrays, frame: Frame, params: Mapping[str, Any]) -> Classification:
        """logits (1, classes) -> the best classes, best first. Raises InvalidRequestError for the parameters."""
        asked = parse_params(ClassifyParams, params)
        logits = outputs[OUTPUT][0] / self._temperature  # (classes,)
        several = self._thresholds is not None
        scores = sigmoid(logits) if several else softmax(logits)  # (classes,)
        best = np.argsort(-scores, kind="stable")  # (classes,)
        least = self._thresholds if asked.threshold is None else np.full(len(scores), asked.threshold)
        if least is not None:
            best = best[scores[best] >= least[best]]
        best = best[: asked.top_k if asked.top_k is not None or several else DEFAULT_TOP_K]
        labels = self._labels
        return Classification(
            tuple(
                [
                    ScoredLabel(index, labels[index], score)
                    for index, score in zip(best.tolist(), scores[best].tolist(), strict=True)
                ]
            ),
            self._known(scores, outputs),
            () if self._hierarchy is None else self._hierarchy.parents(scores),
        )

    def strengths(self, outputs: Arrays, target: str, reference: Sequence[float]) -> tuple[str, np.ndarray]:
        """logits (N, classes) -> the class that is meant, the best of the first vector where `target` is empty, and
        its logits float32 (N,). Raises InvalidRequestError for a class that is not there.
        """
        logits = outputs[OUTPUT]  # (N, classes)
        if target and target not in self._labels:
            raise InvalidRequestError(unknown_name("class", target, self._labels), target=shown(target))
        index = self._labels.index(target) if target else int(logits[0].argmax())
        return self._labels[index], logits[:, index]

    def _known(self, scores: np.ndarray, outputs: Arrays) -> float | None:
        """scores: float (classes,)"""
        if self._novelty is None:
            return None
        return float(np.float32(self._novelty.known(scores.max(), outputs[NEAREST][0])))


def softmax(logits: np.ndarray) -> np.ndarray:
    """float (..., classes) -> probabilities of the same shape."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
