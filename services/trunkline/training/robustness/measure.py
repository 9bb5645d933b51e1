"""The curves of a classifier: how many of its answers stay right where its pictures are changed.

The changed pixels go through the serving path: ONNX Runtime and the head's own decode.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import Pixels
from trunkline.core.repository import Repository
from trunkline.core.results import Classification
from trunkline.training.data.dataset import Sample
from trunkline.training.data.read import read_dataset
from trunkline.training.evaluation import answers, facts_of, named_head
from trunkline.training.measuring import samples_of
from trunkline.training.robustness.attacks import Attack, attacked
from trunkline.training.robustness.corruptions import KINDS, SEVERITIES, corrupted
from trunkline.training.robustness.net import ServedNet

Changed = Callable[[Sample, Pixels], Pixels]
Progress = Callable[[str, int, int], None]  # what is done, how many pictures, of all
_SHOWN = 4  # pictures before and after


@dataclass(frozen=True)
class Point:
    """What is left at one strength: epsilon of an attack in steps of 255, or the severity of a corruption."""

    kind: str
    strength: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Example:
    """uint8 (H, W, C) each, and what the head calls them."""

    before: np.ndarray
    after: np.ndarray
    called: tuple[str, str]


@dataclass(frozen=True)
class Robustness:
    """truth: "labels", or "answers" where the answers about unchanged pictures count as right."""

    head: str
    version: str
    data: str
    count: int
    truth: str
    clean: float
    points: tuple[Point, ...]
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Measuring:
    """A classifier and the pictures that it is measured on."""

    head: Bundle[HeadManifest]
    backbone: Bundle[BackboneManifest]
    samples: tuple[Sample, ...]
    labels: tuple[int, ...]
    data: str
    truth: str
    progress: Progress

    def clean(self) -> float:
        return self._accuracy("unchanged", None)

    def attacks(self, attack: Attack, epsilons: Sequence[float]) -> Iterator[tuple[Point, tuple[Example, ...]]]:
        """Raises InvalidRequestError for a head that cannot be attacked."""
        net = ServedNet(self.head, self.backbone)
        torch.set_num_threads(1)  # pictures go side by side
        for epsilon in epsilons:
            yield self._attacked(net, attack, epsilon)

    def _attacked(self, net: ServedNet, attack: Attack, epsilon: float) -> tuple[Point, tuple[Example, ...]]:
        labels, shown = self._by_name(), {sample.name for sample in self.samples[:_SHOWN]}
        seen: dict[str, tuple[np.ndarray, np.ndarray]] = {}

        def change(sample: Sample, pixels: Pixels) -> Pixels:
            found = attacked(net, pixels, np.array([labels[sample.name]]), attack, epsilon)
            if sample.name in shown:
                seen[sample.name] = pixels[0], found[0]
            return found

        called = self._called(f"{attack} {epsilon:g}/255", change)
        examples = tuple(
            Example(*seen[sample.name], (self._name(label), self._name(index)))
            for sample, label, index in zip(self.samples, self.labels, called, strict=True)
            if sample.name in seen
        )
        return Point(attack, epsilon, float(np.mean(called == np.array(self.labels)))), examples

    def corruptions(self, severities: Sequence[int] = SEVERITIES) -> Iterator[Point]:
        """Each kind at each severity."""
        for kind in KINDS:
            for severity in severities:
                change = partial(_corrupted, kind, severity)
                yield Point(kind, severity, self._accuracy(f"{kind} {severity}", change))

    def _accuracy(self, told: str, change: Changed | None) -> float:
        return float(np.mean(self._called(told, change) == np.array(self.labels)))

    def _called(self, told: str, change: Changed | None) -> np.ndarray:
        return classes_of(self.head, self.backbone, self.samples, lambda *at: self.progress(told, *at), change)

    def _by_name(self) -> dict[str, int]:
        return {sample.name: label for sample, label in zip(self.samples, self.labels, strict=True)}

    def _name(self, index: int) -> str:
        return self.head.labels[index]


def measuring(
    models: Path,
    head: str,
    data: Path,
    split: str | Sequence[str] | None,
    most: int,
    progress: Progress,
    *,
    as_answered: bool = False,
) -> Measuring:
    """most: pictures, evenly from all. as_answered: take the answers about unchanged pictures as the truth.

    Raises NotFoundError, InvalidRequestError where the classes are not those of the data, DataInvalidError.
    """
    repository = Repository(models)
    bundle = named_head(repository, head)
    backbone = repository.backbone(bundle.manifest.backbone.name, bundle.manifest.backbone.version)
    if bundle.manifest.task != "classification":
        raise InvalidRequestError(
            f"head {bundle.manifest.name!r} does {bundle.manifest.task}: only classifiers are measured so"
        )
    if as_answered:
        dataset = read_dataset(data)
        wanted = (split,) if isinstance(split, str) else tuple(split or ("test",))
        samples = dataset.of_split(*wanted) or dataset.samples
    else:
        dataset, samples = samples_of(facts_of(bundle), data, split)
    chosen = samples[:: max(1, len(samples) // most)][:most]
    if not chosen:
        raise InvalidRequestError("there is nothing to evaluate on: the data has no picture of that split")
    if as_answered:
        found = classes_of(bundle, backbone, chosen, lambda *at: progress("answers", *at), None)
        labels = tuple(int(index) for index in found)
    else:
        labels = tuple(int(sample.label or 0) for sample in chosen)
    truth = "answers" if as_answered else "labels"
    return Measuring(bundle, backbone, tuple(chosen), labels, dataset.root.name, truth, progress)


def _corrupted(kind: str, severity: int, sample: Sample, pixels: Pixels) -> Pixels:
    seed = zlib.crc32(f"{sample.name}|{kind}".encode())
    return corrupted(pixels[0], kind, severity, seed)[None]  # (1, H, W, 3)


def classes_of(
    head: Bundle[HeadManifest],
    backbone: Bundle[BackboneManifest],
    samples: Sequence[Sample],
    progress: Callable[[int, int], None],
    change: Changed | None,
) -> np.ndarray:
    """int64 (N,): the best class of each picture."""
    found = answers(head, backbone, samples, progress, {"top_k": 1, "threshold": 0.0}, change)
    return np.array([each.labels[0].index for each in found if isinstance(each, Classification)], np.int64)
