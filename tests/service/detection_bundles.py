"""Small detection heads with real ONNX files: one on pixels, whose truth can be told, one on the backbone's maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tests.service.bundles import write_head
from trunkline.core.preprocess import PreprocessSpec

SIDE, CELL = 224, 32  # of the model input, and of a cell of its grid
_CELLS = SIDE // CELL


def add_spots_head(repository: Path, name: str, resize: str = "pad", **settings: Any) -> None:
    """A head on `image`: each cell of 32x32 pixels that is far from gray is a box, of class `bright` or `dark`.

    Scores go from 0 for gray to 1 for white or black; cells below 0.1 are left out, so the number of boxes follows
    the picture.
    """
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMean", ["planes", "axis_1"], ["gray"], keepdims=1),
        helper.make_node("AveragePool", ["gray"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Reshape", ["cells", "row"], ["column"]),  # (1, 49, 1)
        helper.make_node("Sub", ["column", "half"], ["off"]),
        helper.make_node("Mul", ["off", "signs"], ["signed"]),  # (1, 49, 2)
        helper.make_node("Clip", ["signed", "zero", "one"], ["every_scores"]),
        helper.make_node("Identity", ["grid"], ["every_boxes"]),
        *_kept("boxes", "scores"),
    ]
    constants = {
        "axis_1": np.array([1], np.int64),
        "row": np.array([1, _CELLS**2, 1], np.int64),
        "half": np.float32(127.5),
        "signs": np.array([1, -1], np.float32) / np.float32(127.5),
        "zero": np.float32(0),
        "one": np.float32(1),
        "grid": _grid(CELL),
    }
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIDE, SIDE, 3])
    golden = np.full((1, SIDE, SIDE, 3), 127, np.uint8)
    golden[:, :CELL, :CELL], golden[:, -CELL:, -CELL:] = 255, 0
    spec = PreprocessSpec(resize=resize, width=SIDE, height=SIDE)
    _write(repository, name, _model(nodes, image, constants, ["boxes", "scores"]), golden, settings, spec)
    _labels(repository, name, ["bright", "dark"])


def add_parts_head(repository: Path, name: str, labels: Sequence[str], **settings: Any) -> None:
    """A head on `c5` with weights by chance: a box of 64x64 at each cell, moved by up to 16 pixels, and a mask."""
    random = np.random.default_rng(11)
    classes, channels = len(labels), 320
    nodes = [
        helper.make_node("Conv", ["c5", "class_weights"], ["class_map"]),
        helper.make_node("Sigmoid", ["class_map"], ["class_scores"]),
        helper.make_node("Reshape", ["class_scores", "by_class"], ["by_class_scores"]),
        helper.make_node("Transpose", ["by_class_scores"], ["every_scores"], perm=[0, 2, 1]),  # (1, 49, K)
        helper.make_node("Conv", ["c5", "move_weights"], ["move_map"]),
        helper.make_node("Tanh", ["move_map"], ["moves"]),
        helper.make_node("Reshape", ["moves", "by_side"], ["by_side_moves"]),
        helper.make_node("Transpose", ["by_side_moves"], ["cell_moves"], perm=[0, 2, 1]),  # (1, 49, 4)
        helper.make_node("Mul", ["cell_moves", "farthest"], ["pixels"]),
        helper.make_node("Add", ["grid", "pixels"], ["every_boxes"]),
        helper.make_node("Conv", ["c5", "mask_weights"], ["mask_map"]),
        helper.make_node("Reshape", ["mask_map", "by_mask"], ["mask_levels"]),  # (1, 49, 1, 1)
        helper.make_node("Add", ["mask_levels", "template"], ["mask_logits"]),
        helper.make_node("Sigmoid", ["mask_logits"], ["every_masks"]),  # (1, 49, 14, 14)
        *_kept("boxes", "scores", "masks"),
    ]
    v, u = np.mgrid[-1:1:14j, -1:1:14j]
    constants = {
        "class_weights": random.normal(0, 0.03, (classes, channels, 1, 1)).astype(np.float32),
        "move_weights": random.normal(0, 0.05, (4, channels, 1, 1)).astype(np.float32),
        "mask_weights": random.normal(0, 0.05, (1, channels, 1, 1)).astype(np.float32),
        "by_class": np.array([1, classes, -1], np.int64),
        "by_side": np.array([1, 4, -1], np.int64),
        "by_mask": np.array([1, -1, 1, 1], np.int64),
        "farthest": np.float32(16),
        "template": (3 - 5 * (u**2 + v**2)).astype(np.float32)[None, None],
        "grid": _grid(2 * CELL),
    }
    maps = helper.make_tensor_value_info("c5", TensorProto.FLOAT, ["n", channels, _CELLS, _CELLS])
    golden = np.abs(random.normal(0, 1, (1, channels, _CELLS, _CELLS))).astype(np.float32)
    _write(repository, name, _model(nodes, maps, constants, ["boxes", "scores", "masks"]), golden, settings, None)
    _labels(repository, name, labels)


def _kept(*outputs: str) -> list[onnx.NodeProto]:
    """From every_X (1, P, …) to X (1, M, …), those whose best score is above 0.1."""
    return [
        helper.make_node("ReduceMax", ["every_scores", "axis_2"], ["best"], keepdims=0),  # (1, P)
        helper.make_node("Greater", ["best", "least"], ["good"]),
        helper.make_node("NonZero", ["good"], ["places"]),  # (2, M)
        helper.make_node("Gather", ["places", "second"], ["kept"], axis=0),  # (M,)
        *(helper.make_node("Gather", [f"every_{name}", "kept"], [name], axis=1) for name in outputs),
    ]


def _grid(side: float) -> np.ndarray:
    """float32 (1, 49, 4): a box of this side around the centre of each cell, row by row."""
    y, x = (np.mgrid[:_CELLS, :_CELLS] + 0.5).reshape(2, -1) * CELL
    return np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], axis=1)[None].astype(np.float32)


def _model(nodes: Sequence[Any], given: Any, constants: dict[str, Any], outputs: Sequence[str]) -> bytes:
    common = {
        "axis_2": np.array([2], np.int64),
        "least": np.float32(0.1),
        "second": np.array(1, np.int64),
    }
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in (common | constants).items()]
    shapes = {"boxes": ["n", "m", 4], "scores": ["n", "m", "k"], "masks": ["n", "m", "h", "w"]}
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs]
    graph = helper.make_graph(list(nodes), "detection", [given], found, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _write(
    repository: Path, name: str, model: bytes, golden: np.ndarray, settings: Any, spec: PreprocessSpec | None
) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: golden}
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs), strict=True))
    write_head(repository, name, "detection", model, (inputs, outputs), settings, spec)


def _labels(repository: Path, name: str, labels: Sequence[str]) -> None:
    (repository / "heads" / name / "1/labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
