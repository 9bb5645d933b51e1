"""An existing head learns what the task of a head adds to its finished model, such as to tell unknown pictures."""

import shutil
from pathlib import Path

from trunkline.core.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    Bundle,
    HeadManifest,
    model_digest,
    read_bundle,
    write_golden,
)
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.publishing import card_title, free_version, manifest_text
from trunkline.core.repository import Repository
from trunkline.core.staging import staging
from trunkline.core.store import FolderStore, Publish
from trunkline.core.train_request import TrainRequest
from trunkline.heads.learner import MapLearner
from trunkline.heads.loading import FaultyHead, load_head
from trunkline.heads.pictures import Completed
from trunkline.serving.session import OnnxSession
from trunkline.training.again import recorded_request
from trunkline.training.data.accept import read_data, require_none
from trunkline.training.data.wanted import wanted
from trunkline.training.evaluation import named_head
from trunkline.training.features import FeatureStore, Progress
from trunkline.training.learner import learner_class
from trunkline.training.shown import ShownPictures

_REPEAT = "## To repeat"


def make_familiar(head: str, data: Path, models: Path, progress: Progress, publish: Publish | None = None) -> Path:
    """Publish the next version of a head, NAME or NAME/VERSION, that also tells unknown pictures. Nothing is trained.

    data: what it was made from. Where it has no pictures that the head did not learn from but those for the test,
    these are taken. What the head answered before stays, bit for bit. Raises NotFoundError; InvalidRequestError for a
    head that tells already, has variants, or was not made by training, and for other data; DataInvalidError.
    """
    repository = Repository(models)
    found = named_head(repository, head)
    request = recorded_request(found).model_copy(update={"data": str(data)})
    if "known" in found.manifest.settings or found.manifest.variants:
        why = "tells unknown pictures already" if not found.manifest.variants else "has variants: measure these after"
        raise InvalidRequestError(f"{head} {why}")
    added = _added(found, request, repository, progress)
    with staging(models) as aside:
        folder = aside / "head"
        shutil.copytree(found.path, folder)
        inputs, before = found.read_golden()
        outputs = OnnxSession(added.model, found.manifest.name).run(inputs)
        plain = OnnxSession(found.read_model(), found.manifest.name).run(inputs)
        if any(outputs[name].tobytes() != plain[name].tobytes() for name in before):
            raise ModelInvalidError(f"{head} would answer otherwise than before: nothing was written")
        manifest = found.manifest.model_copy(
            update={
                "version": free_version(models, "head", found.manifest.name),
                "digest": model_digest(added.model),
                "settings": {**found.manifest.settings, **added.settings},
            }
        )
        (folder / MODEL_FILE).write_bytes(added.model)
        write_golden(folder, inputs, {**outputs, **before})
        (folder / MANIFEST_FILE).write_text(manifest_text(manifest), encoding="utf-8")
        (folder / CARD_FILE).write_text(_card(found, manifest, added), encoding="utf-8")
        _require_served(folder)
        return (publish or FolderStore(models).publish)([(folder, manifest)])[0]


def _added(
    head: Bundle[HeadManifest], request: TrainRequest, repository: Repository, progress: Progress
) -> Completed:
    manifest = head.manifest
    dataset = read_data(request)
    require_none(dataset.faults, request.data, request.task)
    if dataset.classes != head.labels:
        raise InvalidRequestError(
            f"{manifest.name} has {len(head.labels)} classes, the data {len(dataset.classes)} others: give the data "
            "that the head was made from"
        )
    splits = wanted(request, dataset)
    learner = learner_class(request.task)(dataset.classes, dataset.target_names, request)
    pictures = ShownPictures(
        FeatureStore(repository.backbone(manifest.backbone.name, manifest.backbone.version), Path()),
        manifest.features,
        manifest.preprocess,
        splits.train,
        splits.validation or splits.test,
        request.mode in ("finetune", "scratch"),
        progress,
    )
    mapped = isinstance(learner, MapLearner)
    found = None if mapped else learner.completed(head.read_model(), manifest.settings, pictures)
    if found is None:
        raise InvalidRequestError(
            f"{manifest.name}: only classifiers that end in a linear layer tell unknown pictures"
        )
    return found


def _card(head: Bundle[HeadManifest], manifest: HeadManifest, added: Completed) -> str:
    text = head.card.removeprefix(card_title(head.manifest)).strip()
    begin, repeat, rest = text.partition(_REPEAT)
    note = f"The net is that of version {head.manifest.version}; `trunkline models known` added what follows."
    return f"{card_title(manifest)}\n\n{begin.strip()}\n\n{note}\n\n{added.card}\n\n{repeat}{rest}\n"


def _require_served(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert isinstance(bundle.manifest, HeadManifest)
    loaded = load_head(Bundle(bundle.path, bundle.manifest))
    if isinstance(loaded, FaultyHead):
        raise loaded.error
