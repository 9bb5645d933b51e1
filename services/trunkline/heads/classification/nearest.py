"""A classifier's ONNX file with one more output: how near a picture is to those that it learned from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trunkline.heads.classification.novelty import NEAREST

SEEN = "known.seen"  # the vector as an output, to look at it
_AFTER = ("Add", "Gather", "Identity")  # what may follow on the last layer
_STANDARDISING = ("Sub", "Div", "Mul", "Add")  # may come before it; distances tell more without
_LEAST = 1e-6  # length of a vector


@dataclass(frozen=True)
class Kept:
    """Vectors before the last layer, without their lengths, as the file has them.

    basis: float16 (D, R), the directions that say most of them. vectors: float16 (M, R), along these.
    """

    basis: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, most: int) -> "Kept":
        """vectors: float (M, D), as they are; most: directions."""
        units = _units(vectors)
        # From the smaller of both squares; the largest eigenvalues come last.
        if units.shape[1] <= len(units):
            basis = np.linalg.eigh(units.T @ units)[1][:, ::-1][:, :most]
        else:
            values, left = np.linalg.eigh(units @ units.T)
            chosen = np.flatnonzero(values > _LEAST * values[-1])[::-1][:most]
            basis = units.T @ (left[:, chosen] / np.sqrt(values[chosen]))
        return cls(basis.astype(np.float16), (units @ basis).astype(np.float16))

    def nearest(self, vectors: np.ndarray, chosen: np.ndarray | slice = slice(None)) -> np.ndarray:
        """What the output says: vectors float (N, D) -> float (N,). chosen: of those that are kept."""
        along = _units(vectors) @ self.basis.astype(np.float32)  # (N, R)
        return np.asarray((along @ self.vectors[chosen].astype(np.float32).T).max(axis=1))


def last_vector(model: bytes, output: str) -> str | None:
    """The name of what the last linear layer before an output takes, before it is standardised.

    None for a graph that does not end in such a layer.
    """
    graph = onnx.load_from_string(model).graph
    stored = {each.name for each in graph.initializer}
    made = {name: node for node in graph.node for name in node.output}
    while output in made:
        node = made[output]
        inputs = [name for name in node.input if name and name not in stored]
        if len(inputs) != 1:
            return None
        if node.op_type in ("Gemm", "MatMul"):
            plain = node.input[0] == inputs[0] and not _transposed(node)
            return _not_standardised(inputs[0], made, stored) if plain else None
        if node.op_type not in _AFTER:
            return None
        output = inputs[0]
    return None


def with_vector(model: bytes, vector: str) -> bytes:
    """The file with this inner value, float32 (N, D), as the output SEEN."""
    found = onnx.load_from_string(model)
    found.graph.node.append(helper.make_node("Identity", [vector], [SEEN]))
    found.graph.output.append(helper.make_tensor_value_info(SEEN, TensorProto.FLOAT, None))
    data: bytes = found.SerializeToString()
    return data


def with_nearest(model: bytes, vector: str, kept: Kept) -> bytes:
    """The file with the output NEAREST, float32 (N,), made of this inner value; all others stay."""
    found = onnx.load_from_string(model)
    graph = found.graph
    stored = {"basis": kept.basis, "vectors": np.ascontiguousarray(kept.vectors.T)}
    constants = {"least": np.float32(_LEAST), "axis": np.array([1], np.int64)}
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), f"known.{name}") for name, value in {**stored, **constants}.items()
    )
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("ReduceL2", [vector, "known.axis"], "known.length", {"keepdims": 1}),
        ("Max", ["known.length", "known.least"], "known.divisor", {}),
        ("Div", [vector, "known.divisor"], "known.unit", {}),
        ("Cast", ["known.basis"], "known.basis32", {"to": TensorProto.FLOAT}),
        ("Cast", ["known.vectors"], "known.vectors32", {"to": TensorProto.FLOAT}),
        ("MatMul", ["known.unit", "known.basis32"], "known.along", {}),
        ("MatMul", ["known.along", "known.vectors32"], "known.cosines", {}),
        ("ReduceMax", ["known.cosines", "known.axis"], NEAREST, {"keepdims": 0}),
    ]
    graph.node.extend(
        helper.make_node(kind, inputs, [output], f"node.{output}", **options)
        for kind, inputs, output, options in steps
    )
    batch = graph.output[0].type.tensor_type.shape.dim[0].dim_param or "batch"
    graph.output.append(helper.make_tensor_value_info(NEAREST, TensorProto.FLOAT, [batch]))
    onnx.checker.check_model(found, full_check=True)
    data: bytes = found.SerializeToString(deterministic=True)
    return data


def _not_standardised(name: str, made: Mapping[str, Any], stored: Collection[str]) -> str:
    while name in made and made[name].op_type in _STANDARDISING:
        inputs = [each for each in made[name].input if each not in stored]
        if len(inputs) != 1:
            break
        name = inputs[0]
    return name


def _transposed(node: Any) -> bool:
    return any(each.name == "transA" and each.i for each in node.attribute)


def _units(vectors: np.ndarray) -> np.ndarray:
    """float (N, D) -> float32 (N, D) of length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _LEAST), np.float32)
