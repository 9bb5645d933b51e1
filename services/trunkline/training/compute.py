"""How much of a backbone's work is done before a feature, counted in multiplications."""

from typing import Any

import numpy as np
import onnx
from onnx.utils import Extractor


def share_before(backbone: bytes, feature: str, outputs: tuple[str, ...], height: int, width: int) -> float:
    """0 to 1: multiplications of the convolutions up to `feature`, of all that lead to `outputs`."""
    model = onnx.load_from_string(backbone)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, (1, height, width), strict=False):
        dim.Clear()
        dim.dim_value = size
    model = onnx.shape_inference.infer_shapes(model)
    whole = _multiplications(model, Extractor(model).extract_model([model.graph.input[0].name], list(outputs)))
    before = _multiplications(model, Extractor(model).extract_model([model.graph.input[0].name], [feature]))
    return before / whole


def _multiplications(model: Any, part: Any) -> int:
    shapes = {
        info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        for info in (*model.graph.value_info, *model.graph.output)
    }
    kernels = {item.name: tuple(item.dims) for item in model.graph.initializer}
    total = 0
    for node in part.graph.node:
        if node.op_type == "Conv" and node.output[0] in shapes:
            positions = int(np.prod(shapes[node.output[0]][2:]))
            total += positions * int(np.prod(kernels[node.input[1]]))
    return total
