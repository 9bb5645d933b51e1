"""The graph around an imported detector: `image` in, `boxes` and `scores` out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from trunkline.core.errors import ModelInvalidError
from trunkline.core.exchange import IMAGE
from trunkline.serving.session import first_line
from trunkline.training.export.graph import stripped
from trunkline.training.imported.detector_file import DetectorFile
from trunkline.training.imported.layouts.layout import BOXES, SCORES, Constants, Layout, Scaling, column
from trunkline.training.imported.onnx_file import with_output_shapes

_PRODUCER = "trunkline"
_INNER = "net/"  # before the names of the file
_ROWS = "rows"
_Step = tuple[str, list[str], dict[str, Any]]  # an operation, its constants and its attributes


def wrapped(detector: DetectorFile, found: Mapping[str, np.ndarray], layout: Layout, classes: int) -> bytes:
    """ONNX file: image uint8 (1, H, W, C) -> boxes float32 (1, N, 4) and scores float32 (1, N, classes).

    found: what the file has answered once. Boxes are x_min y_min x_max y_max in pixels of the input.
    Raises ModelInvalidError where the parts do not join.
    """
    shapes = {name: _shape(values, layout) for name, values in found.items()}
    try:
        inner = compose.add_prefix(with_output_shapes(detector.model, shapes), _INNER)
        before = _before(detector, layout.scaling, inner)
        after = _after(inner, [found[name].dtype for name in layout.outputs], shapes, layout, classes)
        with_input = compose.merge_models(before, inner, [("pixels", _INNER + detector.input_name)])
        joints = [(_INNER + name, f"found{place}") for place, name in enumerate(layout.outputs)]
        whole = compose.merge_models(with_input, after, joints)
        stripped(whole)
        del whole.graph.value_info[:]  # shapes of inner values, which runtimes infer
        whole.producer_name, whole.producer_version = _PRODUCER, ""
        onnx.checker.check_model(whole, full_check=True)
    except Exception as error:  # errors of onnx share no public base
        raise ModelInvalidError(f"the model does not take the inputs of this service: {first_line(error)}") from error
    return bytes(whole.SerializeToString(deterministic=True))


def _shape(values: np.ndarray, layout: Layout) -> tuple[int | str, ...]:
    """Of an output; where there is another number of rows for each picture, its first axis is free."""
    return values.shape if layout.rows is not None else (_ROWS, *values.shape[1:])


def _before(detector: DetectorFile, scaling: Scaling, inner: Any) -> Any:
    """uint8 (1, H, W, C) -> what the net takes."""
    height, width, channels = detector.height, detector.width, detector.channels
    steps: list[_Step] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
    ]
    constants: dict[str, np.ndarray] = {}
    if scaling.bgr:
        steps.append(("Gather", ["turned"], {"axis": 1}))
        constants["turned"] = np.array([2, 1, 0], np.int64)
    if scaling.mean:
        steps.append(("Sub", ["mean"], {}))
        constants["mean"] = column(scaling.mean)
    if scaling.std != (1.0,):
        steps.append(("Div", ["white"], {}))
        constants["white"] = np.array(scaling.std[0], np.float32) if len(scaling.std) == 1 else column(scaling.std)
    if not detector.batched:
        steps.append(("Reshape", ["alone"], {}))
        constants["alone"] = np.array(detector.input_shape, np.int64)
    return _part(
        inner,
        _chain(steps),
        [helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, [1, height, width, channels])],
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, list(detector.input_shape))],
        constants,
    )


def _chain(steps: Sequence[_Step]) -> list[Any]:
    """One node after the other, from `image` to `pixels`."""
    names = [IMAGE, *(f"step{number}" for number in range(1, len(steps))), "pixels"]
    return [
        helper.make_node(kind, [source, *more], [target], **attributes)
        for (kind, more, attributes), source, target in zip(steps, names[:-1], names[1:], strict=True)
    ]


def _after(
    inner: Any,
    dtypes: Sequence[np.dtype[Any]],
    shapes: Mapping[str, tuple[int | str, ...]],
    layout: Layout,
    classes: int,
) -> Any:
    nodes, constants = layout.nodes()
    rows = _ROWS if layout.rows is None else layout.rows
    inputs = [
        helper.make_tensor_value_info(f"found{place}", helper.np_dtype_to_tensor_dtype(dtype), shapes[name])
        for place, (name, dtype) in enumerate(zip(layout.outputs, dtypes, strict=True))
    ]
    outputs = [
        helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, [1, rows, 4]),
        helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [1, rows, classes]),
    ]
    return _part(inner, nodes, inputs, outputs, constants)


def _part(
    like: Any, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], constants: Constants
) -> Any:
    """A model of the same opset and version, so that the two can be joined."""
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "trunkline", list(inputs), list(outputs), weights)
    return helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version)
