"""A training run from data to a published head. Nothing is written into the repository before all checks passed."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from trunkline.core.bundle import BackboneManifest, BackboneRef, Bundle, HeadManifest, Origin, model_digest
from trunkline.core.errors import InvalidRequestError
from trunkline.core.evaluation import Evaluation, evaluation_digest
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.repository import Repository
from trunkline.heads.classification.learn import FeatureClassifier
from trunkline.serving.session import OnnxSession
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.evaluation import evaluate_classifier
from trunkline.training.export.folders import BundleContent, free_version, move_into_place, staging
from trunkline.training.export.request import check_name
from trunkline.training.features import FeatureStore, Recipe
from trunkline.training.fit import Epoch, FitOptions, Vectors, best_epoch, fit, seed
from trunkline.training.head_card import Facts, write_card
from trunkline.training.head_export import check_head, export_head
from trunkline.training.pictures import draw_confusion, draw_curves, draw_samples

OUTPUT = "logits"
_EXAMPLES = 4  # pictures whose features the export and its checks use
_SPEC = PreprocessSpec(resize="squash", width=288, height=288)


@dataclass(frozen=True)
class TrainRequest:
    """What to train: a head of mode `features`, a small net on stored features.

    train_splits are learned from; validation_split, where the data has it and it is not learned from, picks the
    best epoch; evaluation is on test_split. licence: the terms of the data, for the card.
    """

    name: str
    backbone: str = "efficientnet-lite0"
    features: tuple[str, ...] = ("c4", "c5", "pooled")
    spec: PreprocessSpec = _SPEC
    train_splits: tuple[str, ...] = ("train",)
    validation_split: str = "val"
    test_split: str = "test"
    mirror: bool = True
    options: FitOptions = field(default_factory=FitOptions)
    licence: str = "not stated"
    command: str = ""


@dataclass(frozen=True)
class Watcher:
    """Told of progress. stage: name, done, of all. epoch: a line of the learning curve."""

    stage: Callable[[str, int, int], None]
    epoch: Callable[[Epoch], None]


def train_head(request: TrainRequest, dataset: Dataset, models: Path, cache: Path, watcher: Watcher) -> Path:
    """Train, check, evaluate through the serving path, publish as the next version. Returns the bundle's folder.

    Raises InvalidRequestError where the data does not fit the request, DataInvalidError for a broken picture,
    ModelInvalidError where the exported file computes something else than torch.
    """
    started_at = time.monotonic()
    check_name("--name", request.name)
    splits = _splits(request, dataset)
    backbone = Repository(models).backbone(request.backbone)
    store = FeatureStore(backbone, cache)
    net, epochs = _fit(request, dataset, splits, store, watcher)
    example = store.features(splits.test[:_EXAMPLES], Recipe(request.features, request.spec))
    model = export_head(net, example, OUTPUT)
    session = OnnxSession(model, request.name)
    parity = check_head(net, session, example, OUTPUT)
    manifest = _manifest(request, dataset, backbone, model, free_version(models, "head", request.name))
    golden = ({name: value[:1] for name, value in example.items()}, {OUTPUT: session.run(example)[OUTPUT][:1]})
    facts = _facts(request, dataset, epochs, parity, started_at)
    with staging(models) as aside:
        content = BundleContent(model, manifest, golden, "", dataset.classes)
        head = Bundle(content.write(aside / "unmeasured"), manifest)
        scores = evaluate_classifier(head, backbone, splits.test, partial(watcher.stage, "evaluation"))
        evaluation = _evaluation(request, dataset, splits.test)
        manifest = manifest.model_copy(update={"metrics": scores.metrics(), "evaluation": evaluation})
        card = write_card(manifest, facts, scores, dataset.classes)
        folder = BundleContent(model, manifest, golden, card, dataset.classes).write(aside / "head")
        draw_curves(epochs, folder / "curves.png")
        draw_confusion(scores, dataset.classes, folder / "confusion.png")
        draw_samples(splits.test, scores, dataset.classes, folder / "samples.jpg")
        return move_into_place(models, [(folder, manifest)])[0]


@dataclass(frozen=True)
class _Splits:
    train: Sequence[Sample]
    validation: Sequence[Sample]
    test: Sequence[Sample]


def _splits(request: TrainRequest, dataset: Dataset) -> _Splits:
    if not dataset.classes:
        raise InvalidRequestError(f"{dataset.root} has no classes: a classification head needs labels")
    learned_from = set(request.train_splits)
    found = _Splits(
        train=dataset.of_split(*request.train_splits),
        validation=() if request.validation_split in learned_from else dataset.of_split(request.validation_split),
        test=dataset.of_split(request.test_split),
    )
    for what, part, names in (
        ("train on", found.train, request.train_splits),
        ("evaluate on", found.test, [request.test_split]),
    ):
        if len(part) < 2:
            have = sorted({sample.split or "(none)" for sample in dataset.samples})
            raise InvalidRequestError(
                f"nothing to {what}: no pictures of split {', '.join(names)}; the data has {have}: "
                "put pictures below train/ and test/, add a column split, or name other splits"
            )
    if request.test_split in learned_from:
        raise InvalidRequestError(f"split {request.test_split!r} cannot be learned from and evaluated on")
    return found


def _fit(
    request: TrainRequest, dataset: Dataset, splits: _Splits, store: FeatureStore, watcher: Watcher
) -> tuple[FeatureClassifier, list[Epoch]]:
    seed(request.options.seed)
    net = FeatureClassifier(store.widths(request.features), len(dataset.classes), request.options.dropout)
    views = [False, True] if request.mirror else [False]
    train = _vectors(request, splits.train, store, views, watcher)
    validation = _vectors(request, splits.validation, store, [False], watcher) if splits.validation else None
    with tempfile.TemporaryDirectory() as folder:
        epochs = fit(net, len(dataset.classes), train, validation, request.options, watcher.epoch, Path(folder))
    return net, epochs


def _vectors(
    request: TrainRequest, samples: Sequence[Sample], store: FeatureStore, views: Sequence[bool], watcher: Watcher
) -> Vectors:
    values = [
        store.vectors(samples, Recipe(request.features, request.spec, mirror), partial(watcher.stage, "features"))
        for mirror in views
    ]
    labels = np.array([sample.label for sample in samples], np.int64)
    return Vectors(np.concatenate(values), np.tile(labels, len(views)))


def _manifest(
    request: TrainRequest, dataset: Dataset, backbone: Bundle[BackboneManifest], model: bytes, version: int
) -> HeadManifest:
    base = backbone.manifest
    return HeadManifest(
        task="classification",
        name=request.name,
        version=version,
        digest=model_digest(model),
        backbone=BackboneRef(name=base.name, version=base.version, digest=base.digest),
        features=request.features,
        preprocess=request.spec,
        preprocess_fingerprint=request.spec.fingerprint,
        mode="features",
        origin=Origin(source="trained by trunkline", licence=request.licence, data=dataset.root.name),
    )


def _evaluation(request: TrainRequest, dataset: Dataset, samples: Sequence[Sample]) -> Evaluation:
    """By which a later version is known to be measured on the same samples."""
    digest = evaluation_digest((sample.name, sample.read()) for sample in samples)
    return Evaluation(data=dataset.root.name, split=request.test_split, count=len(samples), digest=digest)


def _facts(request: TrainRequest, dataset: Dataset, epochs: list[Epoch], parity: float, started_at: float) -> Facts:
    counts: dict[str, int] = {}
    for sample in dataset.samples:
        counts[sample.split] = counts.get(sample.split, 0) + 1
    return Facts(
        data=dataset.root.name,
        counts=counts,
        trained_on=request.train_splits,
        evaluated_on=request.test_split,
        epochs=len(epochs),
        best_epoch=best_epoch(epochs).number,
        seconds=time.monotonic() - started_at,
        parity=parity,
        command=request.command,
    )
