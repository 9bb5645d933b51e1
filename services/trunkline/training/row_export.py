"""A trained net that gives rows to ONNX: one picture at a time, another number of rows for each."""

import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from trunkline.core.errors import ModelInvalidError
from trunkline.serving.session import OnnxSession
from trunkline.training.export.graph import finished_file

# The newer exporter fails on shapes that depend on the data; the older one ends at this version.
_OPSET = 17
_TOLERANCE = 1e-3
_SHAKEN = 1e-5  # relative; processors and versions of the runtime differ by less
_SHAKES = 4

Arrays = dict[str, np.ndarray]


def export_rows(net: nn.Module, features: Mapping[str, np.ndarray]) -> bytes:
    """ONNX file with one input for each feature, of the sizes of these and a batch of one, and the net's outputs.

    Raises ModelInvalidError where torch cannot export the net.
    """
    names = _outputs(net)
    example = _tensors(_alone(features)[0])
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about shapes, which are constants here, and that this exporter is old
        torch.onnx.export(
            net.eval(),
            example,
            file,  # type: ignore[arg-type]  # this exporter writes into files that are open
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(features),
            output_names=list(names),
            dynamic_axes={name: {1: "rows"} for name in names},
        )
    model = onnx.load_from_string(file.getvalue())
    for value in model.graph.output:
        value.type.tensor_type.shape.dim[1].dim_param = "rows"
    return finished_file(model)


def check_rows(net: nn.Module, session: OnnxSession, features: Mapping[str, np.ndarray]) -> float:
    """Largest difference between torch and ONNX Runtime over these pictures, relative to the largest value.

    A batch is not looked at: the graph takes one picture alone. Raises ModelInvalidError where it is above 1e-3.
    """
    worst = 0.0
    for part in _alone(features):
        with torch.inference_mode():
            answer = net.eval()(*_tensors(part))
        want = {name: value.numpy() for name, value in zip(_outputs(net), answer, strict=True)}
        worst = max(worst, _difference(net, want, session.run(part)))
    if not worst <= _TOLERANCE:
        raise ModelInvalidError(f"ONNX Runtime and torch differ by {worst:.2g} in the rows: nothing was written")
    return worst


def steady_golden(session: OnnxSession, features: Mapping[str, np.ndarray]) -> tuple[Arrays, Arrays]:
    """Inputs and outputs for golden.npz, of the picture whose rows change least where the features do a little.

    Rows change places where two scores are nearly equal; on such a picture another processor would be refused. One
    without rows would hold whatever the model computes, so it is taken only where no picture has any.
    """
    parts = _alone(features)
    telling = [part for part in parts if any(value.size for value in session.run(part).values())]
    best = min(telling or parts, key=lambda part: _unsteadiness(session, part))
    return best, session.run(best)


def _unsteadiness(session: OnnxSession, part: Arrays) -> float:
    rng, want = np.random.default_rng(0), session.run(part)
    return max(_change(want, session.run(_shaken(part, rng))) for _ in range(_SHAKES))


def _change(want: Arrays, found: Arrays) -> float:
    """Relative, as the check at load has it; infinite where the number of rows is another."""
    if any(want[name].shape != found[name].shape for name in want):
        return float("inf")
    pairs = [(value, found[name]) for name, value in want.items() if value.size]
    return max((float(np.abs(a - b).max()) / max(1.0, float(np.abs(a).max())) for a, b in pairs), default=0.0)


def _shaken(part: Arrays, rng: np.random.Generator) -> Arrays:
    return {
        name: (value * (1 + _SHAKEN * rng.standard_normal(value.shape))).astype(np.float32)
        for name, value in part.items()
    }


def _alone(features: Mapping[str, np.ndarray]) -> Sequence[Arrays]:
    count = len(next(iter(features.values())))
    return [{name: np.ascontiguousarray(value[i : i + 1]) for name, value in features.items()} for i in range(count)]


def _tensors(part: Arrays) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.array(value)) for value in part.values())


def _outputs(net: Any) -> tuple[str, ...]:
    return tuple(net.outputs)


def _difference(net: Any, want: Arrays, found: Arrays) -> float:
    return float(net.difference(want, found))
