"""The export from end to end: load, convert, check, write aside, check what was written, move into place."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from trunkline.core.bundle import BackboneManifest, BackboneRef, FeatureSpec, HeadManifest, model_digest, read_bundle
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.publishing import free_version
from trunkline.core.staging import staging
from trunkline.core.store import FolderStore, Publish
from trunkline.serving.session import OnnxSession, load_session
from trunkline.training.export import lite, timm_nets, torchvision_nets
from trunkline.training.export.card import Answers, backbone_card, head_card
from trunkline.training.export.checks import check_backbone, check_batches, check_classifier
from trunkline.training.export.classifier import Classifier, class_names, find_classifier
from trunkline.training.export.folders import BundleContent
from trunkline.training.export.graph import backbone_graph, classifier_graph
from trunkline.training.export.network import POOLED, FeatureNet, Network, find_features
from trunkline.training.export.request import ExportReport, ExportRequest, Parity, Weights
from trunkline.training.export.rewrite import rewritten
from trunkline.training.export.samples import Samples, load_samples
from trunkline.training.export.unknown import unknown_architecture

_GOLDEN_SPEC = PreprocessSpec(crop_share=0.875)  # 224x224 for every backbone: the file stays small
_ANSWERS_SHOWN = 3

Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Backbone:
    """A converted and checked backbone that is not written yet."""

    content: BundleContent
    manifest: BackboneManifest
    session: OnnxSession
    parity: tuple[Parity, ...]
    batch_difference: float


def export_backbone(
    request: ExportRequest, models: Path, progress: Progress, publish: Publish | None = None
) -> ExportReport:
    """Write a backbone bundle, and with `request.classifier` a head bundle, under the folder `models`.

    publish: that of a store whose folder `models` is; into the folder itself where none is given.
    Either all appears, whole and checked, or nothing does. Raises a TrunklineError that says what to do:
    NotFoundError (architecture), InvalidRequestError (weights, names, versions, features),
    ServiceUnavailableError (download), ModelInvalidError (the ONNX file computes something else).
    """
    started = time.monotonic()
    request.check()
    version = free_version(models, "backbone", request.backbone_name, request.version)
    samples = load_samples(request.samples)
    progress(f"loading {request.architecture}, weights: {request.weights}")
    network = load_network(request.architecture, request.weights)
    classifier = find_classifier(network) if request.classifier else None
    backbone = _convert(network, request, samples, version, progress)
    contents = [backbone.content]
    if classifier is not None:
        contents.append(_head(classifier, backbone, request, samples, models))
    folders = _write(models, contents, progress, publish or FolderStore(models).publish)
    return ExportReport(
        backbone=folders[0],
        head=folders[1] if classifier is not None else None,
        digest=backbone.manifest.digest,
        features=backbone.manifest.features,
        parity=backbone.parity,
        batch_difference=backbone.batch_difference,
        duration_s=time.monotonic() - started,
    )


def load_network(architecture: str, weights: Weights) -> Network:
    """A network with its weights, in evaluation mode. Raises as export_backbone does.

    Random weights are the same at each call, and the caller's random numbers are left alone.
    """
    library, _, name = architecture.partition("/")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if architecture in lite.ARCHITECTURES:
            return lite.load(architecture, weights)
        if library == "timm":
            return timm_nets.load(name, weights)
        if library == "torchvision":
            return torchvision_nets.load(name, weights)
    known = [*lite.ARCHITECTURES, *timm_nets.known(), *torchvision_nets.known()]
    raise unknown_architecture(architecture, known)


def _convert(
    network: Network, request: ExportRequest, samples: Samples, version: int, progress: Progress
) -> _Backbone:
    features = find_features(network)
    names = [feature.name for feature in features]
    simple = rewritten(copy.deepcopy(network.extractor))
    progress(f"converting to ONNX: {', '.join(names)} (up to a minute)")
    model = backbone_graph(FeatureNet(network, simple, names), features)
    session = OnnxSession(model, f"{request.backbone_name}/{version}")
    progress("comparing ONNX Runtime with torch")
    parity = check_backbone(session, FeatureNet(network, network.extractor, names), samples)
    batch_difference = check_batches(session, samples.pictures(_GOLDEN_SPEC))
    manifest = _backbone_manifest(network, request.backbone_name, version, model, features)
    content = BundleContent(
        model=model,
        manifest=manifest,
        golden=_backbone_golden(session, samples),
        card=backbone_card(manifest, request, parity, batch_difference),
    )
    return _Backbone(content, manifest, session, parity, batch_difference)


def _backbone_manifest(
    network: Network, name: str, version: int, model: bytes, features: tuple[FeatureSpec, ...]
) -> BackboneManifest:
    return BackboneManifest(
        name=name,
        version=version,
        digest=model_digest(model),
        architecture=network.architecture,
        features=features,
        preprocess=network.preprocess,
        preprocess_fingerprint=network.preprocess.fingerprint,
        origin=network.origin,
    )


def _backbone_golden(session: OnnxSession, samples: Samples) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    inputs = {"image": samples.pictures(_GOLDEN_SPEC)[:1]}
    outputs = {
        name: value.mean(axis=(2, 3)) if value.ndim == 4 else value  # maps are compared by their means: (1, C)
        for name, value in session.run(inputs).items()
    }
    return inputs, outputs


def _head(
    classifier: Classifier, backbone: _Backbone, request: ExportRequest, samples: Samples, models: Path
) -> BundleContent:
    name = request.classifier or ""
    version = free_version(models, "head", name)
    channels = next(feature.channels for feature in backbone.manifest.features if feature.name == POOLED)
    model = classifier_graph(classifier, channels)
    session = OnnxSession(model, f"{name}/{version}")
    pictures = samples.pictures(backbone.manifest.preprocess)
    pooled = backbone.session.run({"image": pictures}, [POOLED])[POOLED]  # (n, C)
    parity = check_classifier(session, classifier, pooled)
    logits = session.run({POOLED: pooled})["logits"]  # (n, classes)
    labels = class_names(logits.shape[1], request.labels)
    manifest = _head_manifest(backbone.manifest, name, version, model)
    return BundleContent(
        model=model,
        manifest=manifest,
        golden=({POOLED: pooled[:1]}, {"logits": logits[:1]}),
        card=head_card(manifest, request, parity, _answers(samples.names, logits, labels)),
        labels=labels,
    )


def _head_manifest(backbone: BackboneManifest, name: str, version: int, model: bytes) -> HeadManifest:
    return HeadManifest(
        task="classification",
        name=name,
        version=version,
        digest=model_digest(model),
        backbone=BackboneRef(name=backbone.name, version=backbone.version, digest=backbone.digest),
        features=(POOLED,),
        preprocess=backbone.preprocess,
        preprocess_fingerprint=backbone.preprocess_fingerprint,
        mode="pretrained",
        origin=backbone.origin,
    )


def _answers(names: tuple[str, ...], logits: np.ndarray, labels: tuple[str, ...]) -> Answers:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = exponentials / exponentials.sum(axis=1, keepdims=True)  # (n, classes)
    best = np.argsort(-scores, axis=1)[:, :_ANSWERS_SHOWN]
    return [
        (name, [(labels[index], float(row[index])) for index in indices])
        for name, row, indices in zip(names, scores, best, strict=False)
    ]


def _write(models: Path, contents: list[BundleContent], progress: Progress, publish: Publish) -> list[Path]:
    with staging(models) as aside:
        folders = [content.write(aside / content.manifest.kind) for content in contents]
        progress("loading what was written as the service will")
        for folder in folders:
            load_session(read_bundle(folder))
        return publish([(folder, content.manifest) for folder, content in zip(folders, contents, strict=True)])
