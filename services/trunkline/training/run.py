"""A training run from data to a published head. Nothing is written into the repository before all checks passed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from trunkline.core.bundle import BackboneRef, Bundle, HeadManifest, Origin, model_digest
from trunkline.core.errors import ModelInvalidError
from trunkline.core.evaluation import Evaluation
from trunkline.core.exchange import IMAGE
from trunkline.core.progress import Epoch, Watcher
from trunkline.core.publishing import free_version
from trunkline.core.repository import Repository
from trunkline.core.staging import staging
from trunkline.core.store import FolderStore, Publish
from trunkline.core.terms import terms_of_licence
from trunkline.core.train_request import TrainRequest
from trunkline.heads.learner import MapLearner, Scores, TaskLearner, gives_rows, makes_losses
from trunkline.serving.session import OnnxSession
from trunkline.training import group
from trunkline.training.again import require_same
from trunkline.training.data.accept import accept_data, read_data, seen_before
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.read import rows_of
from trunkline.training.data.remarks import summary_of
from trunkline.training.data.wanted import Wanted, wanted
from trunkline.training.evaluation import scored
from trunkline.training.export.folders import BundleContent
from trunkline.training.features import FeatureStore, Recipe, pixels_of
from trunkline.training.fit import answers_to, best_epoch, seed
from trunkline.training.head_card import Facts, write_card
from trunkline.training.head_export import check_head, export_head
from trunkline.training.known import known_by
from trunkline.training.learner import learner_class
from trunkline.training.like import as_like
from trunkline.training.modes.finetune import train_tailed
from trunkline.training.modes.job import Fitted, Job
from trunkline.training.modes.mapped import train_mapped
from trunkline.training.modes.plain import use_features
from trunkline.training.modes.pooled import train_pooled
from trunkline.training.modes.pretrained import use_pretrained
from trunkline.training.modes.scratch import train_scratch
from trunkline.training.pictures import draw_curves, draw_samples
from trunkline.training.row_export import check_rows, export_rows, steady_golden
from trunkline.training.shown import ShownPictures
from trunkline.training.taught import teacher_of

_SAME = 1e-5  # relative; all bits are the same unless the runtime joins operations in another way
_EXAMPLES = 4  # pictures whose features the export and its checks use
_MODES = {"features": train_pooled, "transfer": train_pooled, "finetune": train_tailed, "scratch": train_scratch}


@dataclass(frozen=True)
class Places:
    """Folders. models: the repository. cache: features, kept. work: checkpoints, from which a run goes on.

    teachers: the repository of a teacher, where it is another one.
    """

    models: Path
    cache: Path
    work: Path
    teachers: Path | None = None


def train_head(
    request: TrainRequest,
    places: Places,
    watcher: Watcher,
    publish: Publish | None = None,
    read: Dataset | None = None,
    like: HeadManifest | None = None,
    begin: Mapping[str, Tensor] | None = None,
) -> Path | None:
    """Check the data, train, export, check, evaluate through the serving path, publish as the next version.

    publish: that of a store whose folder places.models is; into the folder itself where none is given.
    read: the data, where trunkline.training.early has read it. like: a head that is made again; the data has to be
    what it was made from. begin: weights of a net on maps that has learned before.

    Returns the bundle's folder; None in a process of a group that is not its first, which only helped. Raises
    InvalidRequestError where the data does not fit the request, DataInvalidError for data that nothing can be
    learned from, ModelInvalidError where the exported file computes something else than torch.
    """
    started_at = time.monotonic()
    group.join()
    repository = Repository(places.models)
    request = as_like(request, repository)
    watcher = group.silent(watcher)
    learn = learner_class(request.task)
    dataset = _accepted(request, places.work, watcher, read)
    splits = wanted(request, dataset)
    if like is not None:
        require_same(like, _learned_from(request, dataset, splits), _evaluation(request, dataset, splits.test))
    learner = learn(dataset.classes, dataset.target_names, request)
    learner.look(dataset, partial(rows_of, Path(request.data)))
    backbone = repository.backbone(request.backbone)
    teachers = repository if places.teachers is None else Repository(places.teachers)
    teacher = teacher_of(request, dataset.classes, teachers)
    seed(request.options.seed)
    learner.prepare(splits.train)
    store = FeatureStore(backbone, places.cache)
    job = Job(
        request, learner, backbone, splits.train, splits.validation, store, watcher, places.work, teacher, begin
    )
    if isinstance(learner, MapLearner):
        fitted = train_mapped(job, learner)
    elif request.mode == "pretrained" and not learner.keeps_classes:
        fitted = use_features(job)
    elif request.mode == "pretrained":
        fitted = use_pretrained(job, places.models, dataset.classes)
    else:
        fitted = _MODES[request.mode](job)
    group.leave()
    if group.rank():
        return None
    fitted = _calibrated(job, fitted)
    fitted, made = _completed(job, fitted, _export(job, fitted, splits.test[:_EXAMPLES]))
    built = _Built(job, fitted, made, dataset, splits, started_at)
    return _publish(built, places.models, publish or FolderStore(places.models).publish)


@dataclass(frozen=True)
class _Made:
    """The ONNX file with its golden vectors. parity: largest difference between torch and ONNX Runtime."""

    model: bytes
    golden: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
    parity: float


@dataclass(frozen=True)
class _Built:
    """All that was learned, before it is measured and published."""

    job: Job
    fitted: Fitted
    made: _Made
    dataset: Dataset
    splits: Wanted
    started_at: float


def _accepted(request: TrainRequest, work: Path, watcher: Watcher, read: Dataset | None) -> Dataset:
    """One process looks at the data for all."""
    progress = partial(watcher.stage, "data")
    accepted = group.together(lambda: None if group.rank() else accept_data(request, work, progress, read))
    unsound = group.agreed(None if accepted is None else seen_before(work))
    if accepted is not None:
        watcher.data(accepted.remarks.total(), accepted.remarks.left_out.total())
        return accepted
    data = read or read_data(request)
    return data if unsound is None else unsound[0].left_out_of(data)


def _calibrated(job: Job, fitted: Fitted) -> Fitted:
    if fitted.validation is None or type(job.learner).calibrate is TaskLearner.calibrate:
        return fitted
    settings = job.learner.calibrate(*answers_to(fitted.net, fitted.validation))
    return replace(fitted, settings={**fitted.settings, **settings})


def _completed(job: Job, fitted: Fitted, made: _Made) -> tuple[Fitted, _Made]:
    """With the further outputs that the task wants, and the settings and the part of the card that go with them."""
    if isinstance(job.learner, MapLearner):
        return fitted, made
    settings = {**job.learner.settings(), **fitted.settings}
    fits_vectors = job.request.mode in ("finetune", "scratch")
    progress = partial(job.watcher.stage, "features")
    pictures = ShownPictures(
        job.store, fitted.features, fitted.spec, job.train, job.validation, fits_vectors, progress, fitted.recipe
    )
    found = job.learner.completed(made.model, settings, pictures)
    if found is None:
        return fitted, made
    inputs, outputs = made.golden
    again = OnnxSession(found.model, job.request.name).run(inputs)
    for name, want in outputs.items():
        if not np.abs(again[name] - want).max() <= _SAME * max(1.0, float(np.abs(want).max())):
            raise ModelInvalidError(f"with further outputs the model gives another {name!r}: nothing was written")
    fitted = replace(fitted, settings={**fitted.settings, **found.settings}, card=found.card)
    return fitted, replace(made, model=found.model, golden=(inputs, again))


def _export(job: Job, fitted: Fitted, samples: Sequence[Sample]) -> _Made:
    if fitted.features == (IMAGE,):
        example = {IMAGE: np.concatenate([pixels_of(sample, fitted.spec) for sample in samples])}
    else:
        example = job.store.features(samples, Recipe(fitted.features, fitted.spec))
    if gives_rows(fitted.net):
        return _rows_made(job, fitted, example)
    output = job.learner.output
    # A net whose answers have places joins maps of several strides, whose sizes depend on each other.
    model = export_head(fitted.net, example, output, fixed_size=isinstance(job.learner, MapLearner))
    session = OnnxSession(model, job.request.name)
    parity = check_head(fitted.net, session, example, output)
    golden = ({name: value[:1] for name, value in example.items()}, {output: session.run(example)[output][:1]})
    return _Made(model, golden, parity)


def _rows_made(job: Job, fitted: Fitted, example: dict[str, np.ndarray]) -> _Made:
    model = export_rows(fitted.net, example)
    session = OnnxSession(model, job.request.name)
    parity = check_rows(fitted.net, session, example)
    return _Made(model, steady_golden(session, example), parity)


def _publish(built: _Built, models: Path, publish: Publish) -> Path:
    job, fitted, made, dataset, test = built.job, built.fitted, built.made, built.dataset, built.splits.test
    manifest = _manifest(job, fitted, made.model, dataset, free_version(models, "head", job.request.name))
    facts = _facts(job, fitted, made, dataset, len(test), built.started_at)
    with staging(models) as aside:
        labels = dataset.classes if job.learner.keeps_classes else ()
        content = BundleContent(made.model, manifest, made.golden, "", labels)
        head = Bundle(content.write(aside / "unmeasured"), manifest)
        scores = scored(job.learner, head, job.backbone, test, partial(job.watcher.stage, "evaluation"), dataset)
        measured = {
            "metrics": scores.metrics(),
            "evaluation": _evaluation(job.request, dataset, test),
            "learned_from": _learned_from(job.request, dataset, built.splits),
        }
        manifest = manifest.model_copy(update=measured)
        folder = replace(content, manifest=manifest).write(aside / "head")
        _illustrate(folder, manifest, fitted, facts, scores, test)
        return publish([(folder, manifest)])[0]


def _illustrate(
    folder: Path, manifest: HeadManifest, fitted: Fitted, facts: Facts, scores: Scores, test: Sequence[Sample]
) -> None:
    drawn = scores.draw(folder)
    if fitted.epochs:
        draw_curves(fitted.epochs, folder / "curves.png")
        drawn = ["curves.png", *drawn]
    draw_samples(test, scores, folder / "samples.jpg")
    card = write_card(manifest, facts, scores, [*drawn, "samples.jpg"])
    (folder / "CARD.md").write_text(card, encoding="utf-8")


def _manifest(job: Job, fitted: Fitted, model: bytes, dataset: Dataset, version: int) -> HeadManifest:
    base, request = job.backbone.manifest, job.request
    return HeadManifest(
        task=request.task,
        name=request.name,
        version=version,
        digest=model_digest(model),
        backbone=BackboneRef(name=base.name, version=base.version, digest=base.digest),
        features=fitted.features,
        preprocess=fitted.spec,
        preprocess_fingerprint=fitted.spec.fingerprint,
        mode=request.mode,
        settings={**job.learner.settings(), **fitted.settings},
        origin=Origin(source="trained by trunkline", licence=request.licence, data=dataset.root.name),
        terms=request.terms or terms_of_licence(request.licence),
    )


def _evaluation(request: TrainRequest, dataset: Dataset, samples: Sequence[Sample]) -> Evaluation:
    """By which a later version is known to be measured on the same samples, with the same truth."""
    return known_by(dataset, request.test_split, samples)


def _learned_from(request: TrainRequest, dataset: Dataset, splits: Wanted) -> Evaluation:
    """By which it is known whether the head can be made again."""
    names = [*request.train_splits, *([request.validation_split] if splits.validation else [])]
    return known_by(dataset, "+".join(names), [*splits.train, *splits.validation])


def _best(fitted: Fitted) -> Epoch:
    return best_epoch(fitted.epochs, by_metric=makes_losses(fitted.net))


def _facts(job: Job, fitted: Fitted, made: _Made, dataset: Dataset, tested: int, started_at: float) -> Facts:
    counts: dict[str, int] = {}
    for sample in dataset.samples:
        counts[sample.split] = counts.get(sample.split, 0) + 1
    return Facts(
        data=dataset.root.name,
        counts=counts,
        classes=len(dataset.classes),
        trained_on=job.request.train_splits,
        evaluated_on=job.request.test_split,
        evaluated=tested,
        epochs=len(fitted.epochs),
        best_epoch=_best(fitted).number if fitted.epochs else 0,
        seconds=time.monotonic() - started_at,
        parity=made.parity,
        command=job.request.command(),
        remarks=fitted.notes,
        section=fitted.card,
        data_remarks=summary_of(dataset.remarks.total(), dataset.remarks.left_out) if dataset.remarks.total() else "",
    )
