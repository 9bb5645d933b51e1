"""From a request to the next version of a head, with a further spec that it was measured under."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from trunkline.core.bundle import CARD_FILE, MANIFEST_FILE, BackboneManifest, Bundle, HeadManifest, read_bundle
from trunkline.core.errors import BackboneMismatchError, InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.publishing import free_version, manifest_text
from trunkline.core.repository import Repository
from trunkline.core.staging import staging
from trunkline.core.store import FolderStore, Publish
from trunkline.core.variants import Agreement, Variant
from trunkline.heads.loading import load_head
from trunkline.training.data.dataset import Sample
from trunkline.training.evaluation import named_head
from trunkline.training.variants.adapt import LinearMap, fit_map, require_enough, with_map
from trunkline.training.variants.card import card_with
from trunkline.training.variants.figures import Figures
from trunkline.training.variants.files import add_variant
from trunkline.training.variants.pictures import Pictures, Progress, agreement, pooled_under, shared_out
from trunkline.training.variants.request import VariantReport, VariantRequest

_CLASSES = "classification"


@dataclass(frozen=True)
class _Work:
    """The head, what its pictures come from, and who is told of progress."""

    head: Bundle[HeadManifest]
    backbone: Bundle[BackboneManifest]
    spec: PreprocessSpec
    request: VariantRequest
    pictures: Pictures
    figures: Figures | None  # None for a head without any
    progress: Progress


def measure_variant(
    request: VariantRequest, models: Path, progress: Progress, publish: Publish | None = None
) -> VariantReport:
    """Adapt the head where that is asked for, measure it under the spec of `like` through the serving path, publish.

    The next version of the head is published; under its own spec that answers as before. publish: that of a store
    whose folder `models` is.

    Raises NotFoundError, BackboneMismatchError, InvalidRequestError where data or pictures do not fit,
    ModelInvalidError for a head that cannot be adapted or does not run under the spec.
    """
    work = _prepared(request, Repository(models), progress)
    learned = _learned(work) if request.adapt else None
    with staging(models) as aside:
        folder = aside / "head"
        shutil.copytree(work.head.path, folder)
        variant, unadapted = _measured(work, folder, learned)
        report = _report(work, folder, variant, unadapted, learned)
        manifest = _manifest(work.head.manifest, variant, free_version(models, "head", work.head.manifest.name))
        (folder / MANIFEST_FILE).write_text(manifest_text(manifest), encoding="utf-8")
        card = card_with(work.head, manifest, variant, report, request, learned)
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
        _require_served(folder, variant)
        return replace(report, folder=(publish or FolderStore(models).publish)([(folder, manifest)])[0])


def _prepared(request: VariantRequest, repository: Repository, progress: Progress) -> _Work:
    head, like = named_head(repository, request.head), named_head(repository, request.like).manifest
    manifest = head.manifest
    if like.backbone.digest != manifest.backbone.digest:
        raise BackboneMismatchError.between(
            manifest.name, manifest.backbone.label, manifest.backbone.digest, like.backbone.digest
        )
    if like.preprocess == manifest.preprocess:
        raise InvalidRequestError(
            f"{manifest.name!r} and {like.name!r} have one spec already, {like.preprocess.words}"
        )
    backbone = repository.backbone(manifest.backbone.name, manifest.backbone.version)
    figures = _figures(manifest, request, backbone, progress)
    if figures is not None:
        figures.require_same(head)
    measured = () if figures is None else (*figures.samples(head), *figures.calibrated_on(head))
    compared = manifest.task == _CLASSES
    pictures = shared_out(_not_measured_on(request.adapt, measured), request.pictures, compared=compared)
    return _Work(head, backbone, like.preprocess, request, pictures, figures, progress)


def _figures(
    manifest: HeadManifest, request: VariantRequest, backbone: Bundle[BackboneManifest], progress: Progress
) -> Figures | None:
    if manifest.metrics:
        if request.data is None:
            raise InvalidRequestError(
                f"{manifest.name!r} has figures of its own: give the data that it was measured on, with --data DIR"
            )
        return Figures(backbone, request.data, progress)
    if not (request.pictures or request.adapt) or manifest.task != _CLASSES:
        raise InvalidRequestError(
            f"{manifest.name!r} has no figures to compare with: "
            + (
                "give pictures on which its answers are compared, with --pictures DIR"
                if manifest.task == _CLASSES
                else "measure it first"
            )
        )
    return None


def _not_measured_on(paths: Sequence[Path], samples: Sequence[Sample]) -> list[Path]:
    """By the bytes: what figures and thresholds are of is never fitted to."""
    known = {sha256(sample.encoded()).digest() for sample in samples}
    return [path for path in paths if sha256(path.read_bytes()).digest() not in known]


def _learned(work: _Work) -> LinearMap:
    manifest = work.head.manifest
    strides = {feature.name: feature.stride for feature in work.backbone.manifest.features}
    feature = manifest.features[0]
    if len(manifest.features) > 1 or strides.get(feature, 1):
        raise ModelInvalidError(
            f"head {manifest.name!r} works on {', '.join(manifest.features)}: only a head on one vector of the "
            "backbone, such as pooled, can be adapted"
        )
    require_enough(len(work.pictures.fitting))
    specs = (work.spec, manifest.preprocess)
    seen, known = pooled_under(specs, feature, work.backbone, work.pictures.fitting, work.progress)
    return fit_map(seen, known)


def _measured(work: _Work, folder: Path, learned: LinearMap | None) -> tuple[Variant, Agreement | None]:
    """The variant with its files in the folder and its figures, and the agreement without what was learned."""
    head = Bundle(folder, work.head.manifest)
    example = _example(work)
    _, plain = add_variant(head, work.spec, work.backbone, example, None)
    unadapted = _agreement(work, plain) if learned is not None else None
    model = None
    if learned is not None:
        model = with_map(work.head.read_model(), work.head.manifest.features[0], learned)
    variant, bundle = add_variant(head, work.spec, work.backbone, example, model)
    variant = variant.model_copy(update={"agreement": _agreement(work, bundle)})
    if work.figures is not None:
        settings = work.figures.calibrated(bundle)
        variant = variant.model_copy(update={"settings": settings})
        variant = variant.model_copy(update={"metrics": work.figures.metrics(head, variant)})
    return variant, unadapted


def _agreement(work: _Work, bundle: Bundle[HeadManifest]) -> Agreement | None:
    if work.head.manifest.task != _CLASSES or not work.pictures.judging:
        return None
    return agreement(
        work.head, bundle, work.backbone, work.pictures.judging, _names(work.request.named), work.progress
    )


def _names(named: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(name for each in named for name in each.split(", ") if name))


def _example(work: _Work) -> bytes:
    """A picture for the golden outputs."""
    for path in work.pictures.judging:
        return path.read_bytes()
    assert work.figures is not None
    return work.figures.samples(work.head)[0].encoded()


def _report(
    work: _Work, folder: Path, variant: Variant, unadapted: Agreement | None, learned: LinearMap | None
) -> VariantReport:
    before = work.head.manifest.metrics
    return VariantReport(
        folder=folder,
        spec=work.spec,
        before=dict(before),
        metrics=dict(variant.metrics),
        points_lost=variant.points_lost(before),
        agreement=variant.agreement,
        unadapted=unadapted,
        fitted_on=0 if learned is None else learned.pictures,
    )


def _manifest(head: HeadManifest, variant: Variant, version: int) -> HeadManifest:
    """Checked as one that is read."""
    others = [each for each in head.variants if each.preprocess_fingerprint != variant.preprocess_fingerprint]
    fields = head.model_copy(update={"version": version, "variants": (*others, variant)})
    return HeadManifest.model_validate(fields.model_dump())


def _require_served(folder: Path, variant: Variant) -> None:
    """Raises ModelInvalidError where it would not be served under the spec."""
    bundle = read_bundle(folder)
    loaded = load_head(Bundle(bundle.path, bundle.manifest)) if isinstance(bundle.manifest, HeadManifest) else None
    known = getattr(loaded, "variants", {})
    if variant.preprocess_fingerprint not in known:
        raise ModelInvalidError(f"the head cannot be served under {variant.preprocess.words}: see the log")
