"""The graph around an imported detector: `image` in, `boxes` and `scores` out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from trunkline.core.errors import ModelInvalidError
from trunkline.core.exchange import IMAGE
from trunkline.serving.session import first_line
from trunkline.training.export.graph import stripped
from trunkline.training.imported.onnx_file import inputs_of, with_output_shape
from trunkline.training.imported.ultralytics_file import Layout, YoloFile

BOXES, SCORES = "boxes", "scores"
_PRODUCER = "trunkline"


def wrapped(yolo: YoloFile, shape: tuple[int, ...], classes: int, layout: Layout) -> bytes:
    """ONNX file: image uint8 (1, H, W, C) -> boxes float32 (1, N, 4) and scores float32 (1, N, classes).

    shape: of the output of the model. Boxes are x_min y_min x_max y_max in pixels of the input.
    Raises ModelInvalidError where the parts do not join.
    """
    try:
        inner = compose.add_prefix(with_output_shape(yolo.model, shape), "yolo/")
        before, after = _before(yolo, inner), _after(inner, shape, classes, layout)
        with_input = compose.merge_models(before, inner, [("pixels", inputs_of(inner)[0].name)])
        whole = compose.merge_models(with_input, after, [(inner.graph.output[0].name, "found")])
        stripped(whole)
        whole.producer_name, whole.producer_version = _PRODUCER, ""
        onnx.checker.check_model(whole, full_check=True)
    except Exception as error:  # errors of onnx share no public base
        raise ModelInvalidError(f"the model cannot be joined to our inputs: {first_line(error)}") from error
    return bytes(whole.SerializeToString(deterministic=True))


def _before(yolo: YoloFile, inner: Any) -> Any:
    """uint8 (1, H, W, C) -> float32 (1, C, H, W), 0 to 1, as Ultralytics trains."""
    height, width, channels = yolo.height, yolo.width, yolo.channels
    return _part(
        inner,
        [
            helper.make_node("Cast", [IMAGE], ["bytes"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["bytes"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Div", ["planes", "white"], ["pixels"]),
        ],
        [helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, [1, height, width, channels])],
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, channels, height, width])],
        {"white": np.array(255, np.float32)},
    )


def _after(inner: Any, shape: tuple[int, ...], classes: int, layout: Layout) -> Any:
    columns, rows = 4 + classes, shape[2 if layout == "grid" else 1]
    nodes, constants = (_from_grid if layout == "grid" else _from_rows)(columns)
    return _part(
        inner,
        nodes,
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, [1, rows, 4]),
            helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [1, rows, classes]),
        ],
        constants,
    )


def _from_grid(columns: int) -> tuple[list[Any], dict[str, np.ndarray]]:
    """(1, 4 + K, N), centre and size -> corners, and a probability for each class."""
    nodes = [
        helper.make_node("Transpose", ["found"], ["rows"], perm=[0, 2, 1]),  # (1, N, 4 + K)
        _columns("rows", "centre", 0, 2),
        _columns("rows", "size", 2, 4),
        helper.make_node("Mul", ["size", "half"], ["reach"]),
        helper.make_node("Sub", ["centre", "reach"], ["low"]),
        helper.make_node("Add", ["centre", "reach"], ["high"]),
        helper.make_node("Concat", ["low", "high"], [BOXES], axis=2),
        _columns("rows", SCORES, 4, columns),
    ]
    return nodes, {"half": np.array(0.5, np.float32), **_places(0, 2, 4, columns)}


def _from_rows(columns: int) -> tuple[list[Any], dict[str, np.ndarray]]:
    """(1, N, 6) -> corners, and the probability in the column of its class, 0 in the others."""
    nodes = [
        _columns("found", BOXES, 0, 4),
        _columns("found", "probability", 4, 5),
        _columns("found", "class", 5, 6),
        helper.make_node("Equal", ["class", "all_classes"], ["is_class"]),  # (1, N, K)
        helper.make_node("Cast", ["is_class"], ["share"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["share", "probability"], [SCORES]),
    ]
    all_classes = np.arange(columns - 4, dtype=np.float32)
    return nodes, {"all_classes": all_classes, **_places(0, 4, 5, 6)}


def _columns(source: str, target: str, start: int, end: int) -> Any:
    return helper.make_node("Slice", [source, f"at_{start}", f"at_{end}", "last_axis"], [target])


def _places(*places: int) -> dict[str, np.ndarray]:
    found = {f"at_{place}": np.array([place], np.int64) for place in places}
    return {**found, "last_axis": np.array([2], np.int64)}


def _part(
    like: Any, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], constants: dict[str, np.ndarray]
) -> Any:
    """A model of the same opset and version, so that the two can be joined."""
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "trunkline", list(inputs), list(outputs), weights)
    return helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version)
