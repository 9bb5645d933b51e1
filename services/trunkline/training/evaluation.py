"""What a head is worth, through the serving path: ONNX Runtime and the head's own decode, never torch."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.cpu import available_cores
from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.core.results import Classification
from trunkline.heads.discovery import head_class
from trunkline.serving.session import load_session
from trunkline.training.data.dataset import Dataset, Sample

_TOP = 5


@dataclass(frozen=True)
class ClassificationScores:
    """truth: int64 (N,); ranked: int64 (N, k), class indices best first; scores: float64 (N,) of the first."""

    truth: np.ndarray
    ranked: np.ndarray
    scores: np.ndarray
    classes: int

    @property
    def right(self) -> np.ndarray:
        """bool (N,)"""
        return np.asarray(self.ranked[:, 0] == self.truth)

    @property
    def confusion(self) -> np.ndarray:
        """int64 (classes, classes): true class by answered class."""
        matrix = np.zeros((self.classes, self.classes), np.int64)
        np.add.at(matrix, (self.truth, self.ranked[:, 0]), 1)
        return matrix

    def per_class(self) -> np.ndarray:
        """float64 (classes,): share of right answers; nan for a class without samples."""
        counts = np.bincount(self.truth, minlength=self.classes)
        hits = np.bincount(self.truth[self.right], minlength=self.classes)
        with np.errstate(invalid="ignore"):
            return np.asarray(hits / counts)

    def metrics(self) -> dict[str, float]:
        """accuracy, mean_class_accuracy and top5_accuracy, 0 to 1."""
        return {
            "accuracy": float(self.right.mean()),
            "mean_class_accuracy": float(np.nanmean(self.per_class())),
            "top5_accuracy": float((self.ranked == self.truth[:, None]).any(axis=1).mean()),
        }

    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy. Source: Wilson, Probable Inference, JASA 22 (1927)."""
        n, p, z = len(self.truth), float(self.right.mean()), 1.96
        centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return float((centre - half) / (1 + z * z / n)), float((centre + half) / (1 + z * z / n))


def evaluate_classifier(
    head: Bundle[HeadManifest],
    backbone: Bundle[BackboneManifest],
    samples: Sequence[Sample],
    progress: Callable[[int, int], None],
) -> ClassificationScores:
    """Ask the head about every sample, as the service would.

    Raises InvalidRequestError without samples, DataInvalidError that names a broken picture.
    """
    if not samples:
        raise InvalidRequestError("there is nothing to evaluate on: the data has no picture of that split")
    sessions, decoder = (load_session(backbone), load_session(head)), head_class("classification")(head)
    wanted = [name for name in head.manifest.features if name != IMAGE]
    top_k = min(_TOP, len(head.labels))

    def answer(sample: Sample) -> Classification:
        try:
            pixels, frame = preprocess(EncodedImage(sample.read()), head.manifest.preprocess)
        except InvalidRequestError as error:
            raise DataInvalidError.at(sample.name, error.message) from error
        features = sessions[0].run({IMAGE: pixels}, wanted) if wanted else {}
        inputs = {name: {**features, IMAGE: pixels}[name] for name in head.manifest.features}
        result = decoder.decode(sessions[1].run(inputs), frame, {"top_k": top_k})
        assert isinstance(result, Classification)
        return result

    answers = []
    with ThreadPoolExecutor(available_cores()) as pool:
        for done, found in enumerate(pool.map(answer, samples), 1):
            answers.append(found)
            progress(done, len(samples))
    return ClassificationScores(
        truth=np.array([sample.label for sample in samples], np.int64),
        ranked=np.array([[label.index for label in found.labels] for found in answers], np.int64),
        scores=np.array([found.labels[0].score for found in answers]),
        classes=len(head.labels),
    )


def evaluate_head(
    models: Path, name: str, dataset: Dataset, split: str | None, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """The newest version of a head on one split of the data: "test" by default, all where there is one split or none.

    Returns head, version, data, count and metrics. Raises NotFoundError for the head, InvalidRequestError where its
    classes are not those of the data.
    """
    repository = Repository(models)
    head = repository.head(name)
    if head.manifest.task != "classification":
        raise InvalidRequestError(
            f"head {name!r} does {head.manifest.task}; only classification can be evaluated yet"
        )
    backbone = repository.backbone(head.manifest.backbone.name, head.manifest.backbone.version)
    samples = _relabelled(_chosen(dataset, split), dataset.classes, head)
    scores = evaluate_classifier(head, backbone, samples, progress)
    return {
        "head": name,
        "version": str(head.manifest.version),
        "data": dataset.root.name,
        "count": len(samples),
        "metrics": scores.metrics(),
    }


def _chosen(dataset: Dataset, split: str | None) -> tuple[Sample, ...]:
    if split is not None:
        return dataset.of_split(split)
    splits = {sample.split for sample in dataset.samples}
    return dataset.samples if len(splits) < 2 else dataset.of_split("test")


def _relabelled(samples: Sequence[Sample], classes: Sequence[str], head: Bundle[HeadManifest]) -> tuple[Sample, ...]:
    """Labels of the data as indices into the head's labels, by name: the data may have fewer classes."""
    if not classes:
        raise InvalidRequestError(f"the data has no classes; head {head.manifest.name!r} answers with classes")
    index = {label: number for number, label in enumerate(head.labels)}
    unknown = sorted(set(classes) - set(index))
    if unknown:
        raise InvalidRequestError(f"head {head.manifest.name!r} does not know the class {unknown[0]!r} of the data")
    return tuple(replace(sample, label=index[classes[sample.label or 0]]) for sample in samples)
