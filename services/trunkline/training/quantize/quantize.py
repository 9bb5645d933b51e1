"""From end to end: read, calibrate, fit, measure, write aside, load as the service will, move into place."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trunkline.core.bundle import BackboneManifest, BackboneRef, Bundle, model_digest, read_bundle
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.publishing import free_version
from trunkline.core.repository import Repository
from trunkline.core.staging import staging
from trunkline.core.store import FolderStore, Publish
from trunkline.serving.session import OnnxSession, load_session
from trunkline.training.export.checks import check_batches
from trunkline.training.export.folders import BundleContent
from trunkline.training.export.graph import finished_file
from trunkline.training.quantize.card import quantized_card
from trunkline.training.quantize.measure import measure
from trunkline.training.quantize.net import Net
from trunkline.training.quantize.pictures import Progress, heads_on, read_pictures
from trunkline.training.quantize.plan import planned
from trunkline.training.quantize.qdq import quantized_model
from trunkline.training.quantize.refine import refine
from trunkline.training.quantize.request import QuantizeReport, QuantizeRequest

_RANGED = 128  # pictures, for the ranges
GOLDEN_TOLERANCE = 0.01  # of the largest value: a last bit of float32 decides where 8 bits are rounded to


def quantize_backbone(
    request: QuantizeRequest, models: Path, progress: Progress, publish: Publish | None = None
) -> QuantizeReport:
    """Write the bundle of a backbone in 8 bits under the folder `models`.

    progress: told of each stage, how much of it is done, of how much. publish: that of a store whose folder `models`
    is; into the folder itself where none is given. The bundle appears whole and checked, or not at all. Raises
    NotFoundError (backbone), InvalidRequestError (too few pictures, quantized already), ModelInvalidError.
    """
    started = time.monotonic()
    request.check()
    repository = Repository(models)
    exact = repository.backbone(request.backbone, request.version)
    if exact.manifest.quantized_from is not None:
        raise InvalidRequestError(
            f"{exact.manifest.name} is in 8 bits already: quantize {exact.manifest.quantized_from.name}"
        )
    version = free_version(models, "backbone", request.new_name)
    heads = heads_on(repository, exact.manifest)
    pictures = read_pictures(request, exact.manifest, heads, progress)
    model = _quantized(exact.read_model(), pictures.calibration, request, progress)
    session = OnnxSession(model, f"{request.new_name}/{version}")
    check_batches(session, _alike(pictures.calibration))
    found = measure(exact, session, heads, pictures.held_back, progress)
    found = replace(found, sizes=(found.sizes[0], len(model)))
    manifest = _manifest(exact.manifest, request.new_name, version, model)
    content = BundleContent(
        model=model,
        manifest=manifest,
        golden=_golden(session, exact),
        card=quantized_card(manifest, request, len(pictures.calibration), exact.manifest, found),
    )
    with staging(models) as aside:
        folder = content.write(aside / "backbone")
        load_session(read_bundle(folder))
        path = (publish or FolderStore(models).publish)([(folder, manifest)])[0]
    return QuantizeReport(path, manifest.digest, found, pictures.left_out, time.monotonic() - started)


def _quantized(model: bytes, pictures: Sequence[np.ndarray], request: QuantizeRequest, progress: Progress) -> bytes:
    net = Net(model)
    seen = pictures[:_RANGED]
    plan = planned(net, seen, request.float_layers, _ticker(progress, "ranges", 2 * len(seen)))
    layers = refine(net, plan, pictures, _ticker(progress, "layers", len(plan.layers)))
    return finished_file(quantized_model(net, plan, layers))


def _alike(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Some pictures of one size, uint8 (n, H, W, 3)."""
    return np.concatenate([each for each in pictures if each.shape == pictures[0].shape][:3])


def _ticker(progress: Progress, stage: str, total: int) -> Callable[[], None]:
    counted = itertools.count(1)
    return lambda: progress(stage, next(counted), total)


def _manifest(exact: BackboneManifest, name: str, version: int, model: bytes) -> BackboneManifest:
    origin = exact.origin.model_copy(update={"source": f"{exact.origin.source}; quantized by trunkline"})
    return exact.model_copy(
        update={
            "name": name,
            "version": version,
            "digest": model_digest(model),
            "origin": origin,
            "quantized_from": BackboneRef(name=exact.name, version=exact.version, digest=exact.digest),
            "golden_tolerance": GOLDEN_TOLERANCE,
        }
    )


def _golden(
    session: OnnxSession, exact: Bundle[BackboneManifest]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The picture of the exact backbone's golden file, with what this one makes of it."""
    inputs = {IMAGE: exact.read_golden()[0][IMAGE]}
    outputs = session.run(inputs)
    return inputs, {name: value.mean(axis=(2, 3)) if value.ndim == 4 else value for name, value in outputs.items()}
