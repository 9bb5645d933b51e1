"""ONNX Runtime sessions: one thread each call, safe to share between threads, checked before they serve."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError, ModelInvalidError

_GOLDEN_TOLERANCE = 1e-3  # relative to the largest golden value, at least to 1
_log = logging.getLogger(__name__)


class OnnxSession:
    """A loaded ONNX file.

    Each run uses one thread: a shared session with as many callers as cores has the highest throughput on CPU,
    and threads never outnumber cores.
    """

    def __init__(self, model: bytes, name: str) -> None:
        """Raises ModelInvalidError where ONNX Runtime cannot load the file."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own classes share no public base
            raise ModelInvalidError(f"{name}: ONNX Runtime cannot load the model: {error}") from error
        self.name = name
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())  # the first one is used
        self.inputs = {node.name: tuple(node.shape) for node in self._session.get_inputs()}
        self.outputs = tuple(node.name for node in self._session.get_outputs())
        self._dtypes = {node.name: node.type for node in self._session.get_inputs()}

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Outputs by name; all of them where none are named.

        Raises InvalidRequestError where the inputs do not fit the model in name, dtype or shape.
        """
        self._check(inputs)
        names = list(outputs) if outputs is not None else list(self.outputs)
        values = self._session.run(names, dict(inputs))
        return dict(zip(names, values, strict=True))

    def _check(self, inputs: Mapping[str, np.ndarray]) -> None:
        for name, shape in self.inputs.items():
            value = inputs.get(name)
            if value is None:
                raise InvalidRequestError(f"{self.name} needs the feature {name!r}", feature=name)
            fits = len(value.shape) == len(shape) and all(
                not isinstance(want, int) or want == got for want, got in zip(shape, value.shape, strict=True)
            )
            if not fits or _ONNX_TYPES.get(value.dtype.name) != self._dtypes[name]:
                raise InvalidRequestError(
                    f"{self.name} takes {name!r} as {self._dtypes[name]} of shape {list(shape)}, "
                    f"not {value.dtype} of {list(value.shape)}",
                    feature=name,
                )


_ONNX_TYPES = {
    "uint8": "tensor(uint8)",
    "float16": "tensor(float16)",
    "float32": "tensor(float)",
    "int64": "tensor(int64)",
}


def load_session(bundle: Bundle[BackboneManifest] | Bundle[HeadManifest]) -> OnnxSession:
    """Load a bundle's model and check it on its golden inputs, which warms it up too.

    Raises ModelInvalidError where a file is damaged or the answers are not the golden ones.
    """
    session = OnnxSession(bundle.read_model(), f"{bundle.manifest.name}/{bundle.manifest.version}")
    inputs, expected = bundle.read_golden()
    if not inputs or not expected:
        raise ModelInvalidError(f"{session.name}: golden.npz holds no inputs or no outputs")
    found = session.run(inputs, [name for name in expected if name in session.outputs])
    for name, want in expected.items():
        if name not in found:
            raise ModelInvalidError(f"{session.name}: the model has no output {name!r}, golden.npz has")
        _compare(session.name, name, _like(found[name], want), want)
    _log.info("%s loaded, golden outputs %s hold", session.name, ", ".join(expected))
    return session


def _like(found: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Maps are stored as their means over height and width: (N, C, H, W) -> (N, C)."""
    return found.mean(axis=(2, 3)) if found.ndim == 4 and want.ndim == 2 else found


def _compare(model: str, name: str, found: np.ndarray, want: np.ndarray) -> None:
    if found.shape != want.shape:
        raise ModelInvalidError(f"{model}: output {name!r} has shape {found.shape}, golden.npz {want.shape}")
    off = float(np.abs(found.astype(np.float64) - want).max())
    allowed = _GOLDEN_TOLERANCE * max(1.0, float(np.abs(want).max()))
    if not off <= allowed:
        raise ModelInvalidError(
            f"{model}: output {name!r} is off its golden value by {off:.3g} (allowed {allowed:.3g}): "
            "the model or this runtime does not compute what was measured"
        )
