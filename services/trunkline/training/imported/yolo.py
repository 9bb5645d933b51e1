"""A detector that was trained with Ultralytics, from its ONNX file to the files of a head."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from trunkline.core.bundle import LARGEST_MODEL, BackboneRef, HeadManifest, Origin, model_digest, read_bundle
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.exchange import IMAGE
from trunkline.core.files import read_regular
from trunkline.core.preprocess import Pixels, PreprocessSpec
from trunkline.core.publishing import free_version
from trunkline.core.repository import Repository
from trunkline.heads.discovery import head_class
from trunkline.serving.session import OnnxSession, load_session
from trunkline.training.export.folders import BundleContent
from trunkline.training.export.request import check_name
from trunkline.training.export.samples import load_samples
from trunkline.training.imported.card import write_card
from trunkline.training.imported.compare import RUN_S, difference
from trunkline.training.imported.names import checked_names, read_names
from trunkline.training.imported.onnx_file import inputs_of, read_onnx, with_input_shape
from trunkline.training.imported.request import ImportReport, ImportRequest
from trunkline.training.imported.ultralytics_file import Layout, YoloFile, class_count, described, layout_of
from trunkline.training.imported.wrap import wrapped

_TASK = "detection"
_SCORE_THRESHOLD, _NMS_IOU = 0.25, 0.7  # those of Ultralytics' predict
_NOT_STATED = "not stated"


def build_yolo(request: ImportRequest, models: Path, folder: Path) -> ImportReport:
    """Wrap and check it, and write all files of the bundle into `folder`, where nothing is yet.

    For a process that may be ended at any time: what a file from outside does while it is read and run is not known.
    Raises InvalidRequestError (names, sizes, files that cannot be read), ModelInvalidError for a file that is no
    detector of a known layout, NotFoundError for the backbone.
    """
    check_name("--name", request.name)
    backbone = Repository(models).backbone(request.backbone).manifest
    yolo = described(read_onnx(request.file), request)
    spec = _spec(yolo, request)
    pictures = _pictures(request, spec)
    yolo = _of_one_size(yolo)
    plain = _plain(yolo, request)
    found = _first_answer(plain, {inputs_of(yolo.model)[0].name: _as_trained(pictures[:1])}, request)
    labels = checked_names(_labels(yolo, request, found.shape), request.file)
    layout = layout_of(found.shape, len(labels), request.file)
    rows = found.shape[2 if layout == "grid" else 1]
    model = wrapped(yolo, found.shape, len(labels), layout)
    session = OnnxSession(model, request.name)
    off = max(difference(plain, session, picture[None], layout) for picture in pictures)
    golden = ({IMAGE: pictures[:1]}, session.try_run({IMAGE: pictures[:1]}, within_s=RUN_S))
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
        settings=_settings(layout),
        origin=_origin(yolo, request),
    )
    card = write_card(manifest, request, yolo, layout, rows, off)
    _write(BundleContent(model, manifest, golden, card, labels), folder)
    return ImportReport(folder, yolo.description or "ONNX", len(labels), rows, yolo.width, yolo.height, off)


def _spec(yolo: YoloFile, request: ImportRequest) -> PreprocessSpec:
    try:
        return PreprocessSpec(
            resize=request.resize,
            width=yolo.width,
            height=yolo.height,
            interpolation="bilinear",  # as Ultralytics resizes
            colour="RGB" if yolo.channels == 3 else "L",
        )
    except ValidationError as error:
        raise InvalidRequestError(
            f"{yolo.width}x{yolo.height} cannot be served: {error.errors()[0]['msg']}"
        ) from error


def _pictures(request: ImportRequest, spec: PreprocessSpec) -> Pixels:
    """uint8 (n, H, W, C)"""
    pictures = load_samples(request.samples).pictures(spec)
    return np.ascontiguousarray(pictures[..., :1]) if spec.colour == "L" else pictures


def _as_trained(pictures: Pixels) -> np.ndarray:
    """float32 (n, C, H, W), 0 to 1"""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)


def _of_one_size(yolo: YoloFile) -> YoloFile:
    shape = (1, yolo.channels, yolo.height, yolo.width)
    return replace(yolo, model=with_input_shape(yolo.model, shape))


def _plain(yolo: YoloFile, request: ImportRequest) -> OnnxSession:
    """The file as it came, for the one size."""
    try:
        return OnnxSession(yolo.model.SerializeToString(), request.file.name)
    except ModelInvalidError as error:
        raise ModelInvalidError(f"{request.file}: {error.message}") from error


def _first_answer(plain: OnnxSession, inputs: dict[str, np.ndarray], request: ImportRequest) -> np.ndarray:
    try:
        found: Any = plain.try_run(inputs, within_s=RUN_S)[plain.outputs[0]]
    except ModelInvalidError as error:
        raise ModelInvalidError(f"{request.file}: {error.message}") from error
    if not isinstance(found, np.ndarray) or found.dtype != np.float32:
        raise ModelInvalidError(f"{request.file} does not answer with numbers in float32")
    return found


def _labels(yolo: YoloFile, request: ImportRequest, shape: tuple[int, ...]) -> tuple[str, ...]:
    if request.labels is not None:
        return read_names(request.labels)
    if yolo.names:
        return yolo.names
    count = class_count(shape)
    whose = f"its {count} classes" if count else "its classes"
    raise InvalidRequestError(f"{request.file} does not name {whose}: give --labels FILE")


def _settings(layout: Layout) -> dict[str, float]:
    # Rows come from a model that has chosen among overlapping boxes by itself.
    return {"score_threshold": _SCORE_THRESHOLD, "nms_iou": _NMS_IOU if layout == "grid" else 1.0}


def _origin(yolo: YoloFile, request: ImportRequest) -> Origin:
    return Origin(
        source=f"imported from {request.file.name}: {yolo.description or 'an ONNX file'}",
        licence=request.licence or yolo.licence or _NOT_STATED,
        data=_NOT_STATED,
        weights_sha256=model_digest(read_regular(request.file, LARGEST_MODEL)),
    )


def _write(content: BundleContent, folder: Path) -> None:
    bundle = read_bundle(content.write(folder))
    load_session(bundle)
    head_class(_TASK)(bundle)  # type: ignore[arg-type]
