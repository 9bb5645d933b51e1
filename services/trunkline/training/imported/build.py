"""A detector that was trained elsewhere, from its file to the files of a head."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from trunkline.core.bundle import LARGEST_MODEL, BackboneRef, HeadManifest, Origin, model_digest, read_bundle
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.files import read_regular
from trunkline.core.preprocess import Pixels, PreprocessSpec
from trunkline.core.publishing import free_version
from trunkline.core.repository import Repository
from trunkline.core.terms import terms_of_licence
from trunkline.heads.discovery import head_class
from trunkline.serving.session import OnnxSession, load_session
from trunkline.training.export.folders import BundleContent
from trunkline.training.export.request import check_name
from trunkline.training.export.samples import load_samples
from trunkline.training.imported.card import write_card
from trunkline.training.imported.classes import Classes, numbered_classes, plain_classes
from trunkline.training.imported.compare import RUN_S, answered, difference
from trunkline.training.imported.detector_file import DetectorFile, described
from trunkline.training.imported.layouts.choose import class_count, layout_of
from trunkline.training.imported.layouts.layout import BOXES, SCORES, Layout, Resize, Scaling
from trunkline.training.imported.onnx_file import read_onnx, with_input_shape
from trunkline.training.imported.request import ImportReport, ImportRequest, is_weights
from trunkline.training.imported.wrap import wrapped

_TASK = "detection"
_NOT_STATED = "not stated"


@dataclass(frozen=True)
class _Read:
    """A detector, its layout and classes. plain: the file as it came, for the one size. found: a first answer."""

    detector: DetectorFile
    layout: Layout
    classes: Classes
    plain: OnnxSession
    found: Mapping[str, np.ndarray]


def build_detector(request: ImportRequest, models: Path, folder: Path) -> ImportReport:
    """Wrap and check it, and write all files of the bundle into `folder`, where nothing is yet.

    For a process that may be ended at any time: what a file from outside does while it is read and run is not known.
    Raises InvalidRequestError (names, sizes, files that cannot be read), ModelInvalidError for a file that is no
    detector of a known layout, NotFoundError for the backbone.
    """
    check_name("--name", request.name)
    backbone = Repository(models).backbone(request.backbone).manifest
    read = _read(request)
    detector, layout, labels = read.detector, read.layout, read.classes.names
    resize = request.resize or layout.resize
    spec = _spec_of(detector.height, detector.width, resize, detector.channels)
    pictures = _pictures(request, spec)
    model = wrapped(detector, read.found, layout, len(labels))
    session = OnnxSession(model, request.name)
    off = max(difference(read.plain, session, picture[None], detector, layout) for picture in pictures)
    origin = _origin(detector, request)
    manifest = HeadManifest(
        task=_TASK,
        name=request.name,
        version=free_version(models, "head", request.name),
        digest=model_digest(model),
        backbone=BackboneRef(name=backbone.name, version=backbone.version, digest=backbone.digest),
        features=(IMAGE,),
        preprocess=spec,
        preprocess_fingerprint=spec.fingerprint,
        mode="pretrained",
        settings=dict(layout.settings),
        origin=origin,
        terms=request.terms or terms_of_licence(origin.licence),
    )
    card = write_card(manifest, request, detector, layout, off)
    golden = _golden(session, pictures, layout, request)
    _write(BundleContent(model, manifest, golden, card, labels), folder)
    kind = detector.description or layout.title
    return ImportReport(folder, kind, len(labels), layout.rows, detector.width, detector.height, off)


def _read(request: ImportRequest) -> _Read:
    if is_weights(request.file):
        from trunkline.training.imported.torchvision_file import exported

        detector = exported(request, lambda height, width: _pictures(request, _spec_of(height, width, "pad")))
    else:
        detector = described(read_onnx(request.file), request)
    if detector.batched:
        detector = replace(detector, model=with_input_shape(detector.model, detector.input_shape))
    plain = OnnxSession(detector.model.SerializeToString(), str(request.file))
    spec = _spec_of(detector.height, detector.width, "pad", detector.channels)
    picture = _pictures(request, spec)[:1]
    found = answered(plain, detector, Scaling(), picture)
    if len(found) > 1:
        classes = numbered_classes(request.labels, request.file, detector.class_count)
    else:
        classes = plain_classes(request.labels, detector.names, request.file, class_count(found))
    return _Read(detector, layout_of(found, classes, detector, request.file), classes, plain, found)


def _spec_of(height: int, width: int, resize: Resize, channels: int = 3) -> PreprocessSpec:
    try:
        return PreprocessSpec(
            resize=resize,
            width=width,
            height=height,
            interpolation="bilinear",  # as all of these libraries resize
            colour="RGB" if channels == 3 else "L",
        )
    except ValidationError as error:
        raise InvalidRequestError(f"{width}x{height} cannot be served: {error.errors()[0]['msg']}") from error


def _pictures(request: ImportRequest, spec: PreprocessSpec) -> Pixels:
    """uint8 (n, H, W, C)"""
    pictures = load_samples(request.samples).pictures(spec)
    return np.ascontiguousarray(pictures[..., :1]) if spec.colour == "L" else pictures


Golden = tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]


def _golden(session: OnnxSession, pictures: Pixels, layout: Layout, request: ImportRequest) -> Golden:
    """Inputs and outputs of the picture that proves most: the first, or that whose boxes change places last."""
    parts = [{IMAGE: picture[None]} for picture in pictures]
    if layout.rows is not None:
        return parts[0], session.try_run(parts[0], within_s=RUN_S)
    answers = [(part, session.try_run(part, within_s=RUN_S)) for part in parts]
    telling = [(part, found) for part, found in answers if found[BOXES].shape[1]]
    if not telling:
        raise InvalidRequestError(
            f"{request.file} finds nothing in the pictures that it was tried with, so nothing could be checked when "
            "it is loaded: give --sample PHOTO, a photograph of what it knows"
        )
    return max(telling, key=lambda each: _gap(each[1][SCORES]))


def _gap(scores: np.ndarray) -> float:
    """The least difference between the scores of two boxes, of scores (1, n, K): equal ones may change places."""
    best = np.sort(scores[0].max(axis=1))
    return float(np.diff(best).min(initial=1.0))


def _origin(detector: DetectorFile, request: ImportRequest) -> Origin:
    return Origin(
        source=f"imported from {request.file.name}: {detector.description or 'an ONNX file'}",
        licence=request.licence or detector.licence or _NOT_STATED,
        data=_NOT_STATED,
        weights_sha256=model_digest(read_regular(request.file, LARGEST_MODEL)),
    )


def _write(content: BundleContent, folder: Path) -> None:
    bundle = read_bundle(content.write(folder))
    load_session(bundle)
    head_class(_TASK)(bundle)  # type: ignore[arg-type]
