"""A trained head to ONNX, checked on real features against torch."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from trunkline.core.errors import ModelInvalidError
from trunkline.core.exchange import IMAGE
from trunkline.serving.session import OnnxSession
from trunkline.training.export.graph import OPSET, finished_file

PARITY_TOLERANCE = 1e-3
_BATCH_TOLERANCE = 1e-4


def export_head(
    net: nn.Module, features: Mapping[str, np.ndarray], output: str, *, fixed_size: bool = False
) -> bytes:
    """ONNX file with one input for each feature and one output, dynamic in the batch and, for maps, in H and W.

    fixed_size: maps have the sizes of these.

    `features` are real ones, float32, batch of 2 or more, in the order of the net's arguments.
    """
    examples = tuple(torch.from_numpy(np.array(value)) for value in features.values())
    axes = tuple(_axes(name, value, fixed_size) for name, value in features.items())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own parts
        program = torch.onnx.export(
            net.eval(),
            examples,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(axes,),  # the net takes its features as one *argument
            input_names=list(features),
            output_names=[output],
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ModelInvalidError("torch exported nothing")
    return finished_file(program.model_proto)


def check_head(net: nn.Module, session: OnnxSession, features: Mapping[str, np.ndarray], output: str) -> float:
    """Largest difference between torch and ONNX Runtime on real features.

    A net that chooses places, such as one that takes the largest value of a window, says by `outliers` which share of
    its values may differ by more: where two values are nearly the same, both runtimes are right. Those are left out.
    Raises ModelInvalidError where it is above 1e-3 of the largest value, or a batch is not its parts.
    """
    with torch.inference_mode():
        want = net.eval()(*(torch.from_numpy(np.array(value)) for value in features.values())).numpy()
    found = session.run(features)[output]
    scale = max(1.0, float(np.abs(want).max()))
    off = float(np.quantile(np.abs(found - want), 1 - getattr(net, "outliers", 0.0), method="lower"))
    if not off <= PARITY_TOLERANCE * scale:
        raise ModelInvalidError(f"ONNX Runtime and torch differ by {off:.2g} in {output!r}: nothing was written")
    alone = np.concatenate([session.run(part)[output] for part in _parts(features)])
    if not float(np.abs(found - alone).max()) <= _BATCH_TOLERANCE * scale:
        raise ModelInvalidError("a batch gives other answers than its images one by one: nothing was written")
    return off


def _parts(features: Mapping[str, np.ndarray]) -> Sequence[dict[str, np.ndarray]]:
    count = len(next(iter(features.values())))
    return [{name: value[i : i + 1] for name, value in features.items()} for i in range(count)]


def _axes(name: str, value: np.ndarray, fixed_size: bool) -> dict[int, Any]:
    axes: dict[int, Any] = {0: Dim("batch")}
    if value.ndim == 4 and name != IMAGE and not fixed_size:  # pixels are of one size, that of the preprocessing
        axes |= {2: Dim(f"{name}_height", min=1, max=256), 3: Dim(f"{name}_width", min=1, max=256)}
    return axes
