"""A vector of any length to an embedding: a direction, with the id of the space that it is in."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.head import Arrays
from trunkline.core.params import Params, parse_params
from trunkline.core.preprocess import Frame
from trunkline.core.results import Embedding
from trunkline.core.text import shown
from trunkline.heads.similarity.settings import read_calibration

OUTPUT = "embedding"


class Head:
    """An embedder. Its model has one output, `embedding` float32 (N, D), of any length above 0."""

    task: ClassVar[str] = "similarity"

    def __init__(self, bundle: Bundle[HeadManifest]) -> None:
        """Raises ModelInvalidError where settings are wrong or golden.npz has no vector."""
        self._name = bundle.manifest.name
        self._space = space_of(bundle.manifest)
        self._calibration = read_calibration(bundle.manifest.settings, bundle.path)
        _, golden = bundle.read_golden()
        if OUTPUT not in golden or golden[OUTPUT].ndim != 2:
            raise ModelInvalidError(
                f"{bundle.path}: a similarity head needs the output {OUTPUT!r} of shape (1, D) in golden.npz"
            )

    def decode(self, outputs: Arrays, frame: Frame, params: Mapping[str, Any]) -> Embedding:
        """embedding (1, D) -> unit vector (D,).

        Raises InvalidRequestError for any parameter, ModelInvalidError where the vector has no direction.
        """
        parse_params(Params, params)
        vector = outputs[OUTPUT][0].astype(np.float64)  # (D,)
        length = float(np.linalg.norm(vector))
        if not 0 < length < np.inf:
            raise ModelInvalidError(
                f"head {self._name!r} gave a vector without a direction for this picture", head=self._name
            )
        values = (vector / length).astype(np.float32)  # as the wire carries them
        return Embedding(self._space, tuple(values.tolist()), self._calibration)

    def strengths(self, outputs: Arrays, target: str, reference: Sequence[float]) -> tuple[str, np.ndarray]:
        """embedding (N, D) -> "similarity" or "vector", and how far each goes in the direction of the reference, or
        of the first: float64 (N,). Raises InvalidRequestError for another target.
        """
        name = "similarity" if reference else "vector"
        if target and target != name:
            raise InvalidRequestError(f"what a similarity head says is explained as {name!r}, not {shown(target)!r}")
        vectors = outputs[OUTPUT].astype(np.float64)  # (N, D)
        along = np.array(reference, np.float64) if reference else vectors[0]  # (D,)
        if along.shape != vectors.shape[1:]:
            raise InvalidRequestError(f"the reference has {len(along)} values, the vectors {vectors.shape[1]}")
        return name, vectors @ (along / max(float(np.linalg.norm(along)), 1e-12))


def space_of(manifest: HeadManifest) -> str:
    """16 hex digits of the SHA-256 of all that a vector depends on beside the picture.

    These are the digests of the head's model and of its backbone, and the fingerprint of the preprocessing. So copies
    of a head under other names share a space, and a new version has its own unless it is the same model.
    """
    parts = (manifest.digest, manifest.backbone.digest, manifest.preprocess_fingerprint)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
