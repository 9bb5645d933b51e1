"""The files of a variant, in the folder of its head."""

import numpy as np

from trunkline.core.bundle import (
    BackboneManifest,
    Bundle,
    HeadManifest,
    model_digest,
    variant_bundle,
    write_golden,
)
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import PreprocessSpec, preprocess
from trunkline.core.variants import VARIANT_PREFIX, Variant
from trunkline.serving.session import OnnxSession, load_session


def add_variant(
    head: Bundle[HeadManifest],
    spec: PreprocessSpec,
    backbone: Bundle[BackboneManifest],
    example: bytes,
    model: bytes | None,
) -> tuple[Variant, Bundle[HeadManifest]]:
    """Write golden outputs about the example picture, and the model where it is one of its own.

    Returns the variant, without figures, and the head as that. Raises ModelInvalidError where the net does not run
    under the spec, as one whose maps have fixed sizes.
    """
    digest = None if model is None else model_digest(model)
    variant = Variant(preprocess=spec, preprocess_fingerprint=spec.fingerprint, digest=digest)
    bundle = variant_bundle(head, variant)
    (head.path / f"{VARIANT_PREFIX}{spec.fingerprint}.onnx").unlink(missing_ok=True)  # of an earlier version
    if model is not None:
        bundle.model_path.write_bytes(model)
    inputs, manifest = _inputs(bundle.manifest, backbone, example), head.manifest
    session = OnnxSession(bundle.read_model(), f"{manifest.name}/{manifest.version}")
    try:
        outputs = session.try_run({name: inputs[name] for name in session.inputs})
    except (InvalidRequestError, ModelInvalidError) as error:
        raise ModelInvalidError(
            f"{manifest.name} cannot be used under {spec.words}, as its net takes other sizes: learn a head there, "
            f"with: trunkline train --like HEAD ({error.message})"
        ) from error
    write_golden(bundle.path, {name: inputs[name] for name in session.inputs}, outputs, variant.golden_file)
    return variant, bundle


def _inputs(manifest: HeadManifest, backbone: Bundle[BackboneManifest], example: bytes) -> dict[str, np.ndarray]:
    pixels, _ = preprocess(EncodedImage(example), manifest.preprocess)
    wanted = [name for name in manifest.features if name != IMAGE]
    return {IMAGE: pixels, **(load_session(backbone).run({IMAGE: pixels}, wanted) if wanted else {})}
