"""A head on `pooled`, adapted to another spec: a linear map from what it sees there to what it knows, in its net."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trunkline.core.errors import InvalidRequestError, ModelInvalidError

LEAST_PICTURES = 32
_FOLDS = 5
# How strongly the map is drawn to the identity, of the mean variance of a direction.
_STRENGTHS = tuple(float(10.0**power) for power in np.arange(-4.0, 3.5, 0.5))


@dataclass(frozen=True)
class LinearMap:
    """y = x @ weight.T + bias; weight float64 (D, D), bias (D,).

    strength: how strongly it was drawn to x itself. pictures: how many it was fitted to.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    pictures: int

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """float (N, D) -> float64 (N, D)."""
        return np.asarray(vectors @ self.weight.T + self.bias)


def fit_map(seen: np.ndarray, known: np.ndarray) -> LinearMap:
    """The map from vectors under the new spec to those under the head's own, of the same pictures; float (N, D) each.

    Ridge regression toward the identity: least |seen @ weight.T + bias - known|^2 + strength |weight - 1|^2. The
    strength is the one that foretells pictures best which it was not fitted to, in five folds. Source: Hoerl and
    Kennard, Ridge Regression, 1970; drawn to the identity in place of 0, as both specs show the same pictures.

    Raises InvalidRequestError for fewer than LEAST_PICTURES.
    """
    require_enough(len(seen))
    seen, known = seen.astype(np.float64), known.astype(np.float64)
    order = np.random.default_rng(0).permutation(len(seen))
    errors = np.zeros(len(_STRENGTHS))
    for fold in range(_FOLDS):
        held = order[fold::_FOLDS]
        rest = np.setdiff1d(order, held)
        errors += _Ridge(seen[rest], known[rest]).errors(seen[held], known[held])
    return _Ridge(seen, known).map(_STRENGTHS[int(errors.argmin())])


def require_enough(pictures: int) -> None:
    """Raises InvalidRequestError for fewer than LEAST_PICTURES."""
    if pictures < LEAST_PICTURES:
        raise InvalidRequestError(f"{pictures} pictures are too few to adapt on: give {LEAST_PICTURES} or more")


class _Ridge:
    """All strengths from one decomposition: seen - mean = left * sizes * directions, with K directions."""

    def __init__(self, seen: np.ndarray, known: np.ndarray) -> None:
        self._count, width = seen.shape
        self._mean, self._offset = seen.mean(0), (known - seen).mean(0)  # (D,) each
        # (N, K), (K,), (K, D)
        left, self._sizes, self._directions = np.linalg.svd(seen - self._mean, full_matrices=False)
        self._changes = left.T @ (known - seen - self._offset)  # (K, D)
        self._scale = float((self._sizes**2).sum()) / width

    def errors(self, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Of pictures that it was not fitted to, the sum of squares for each strength, (S,)."""
        places = (seen - self._mean) @ self._directions.T  # (M, K)
        left = known - seen - self._offset  # (M, D), what the change has to explain
        return np.array([((left - (places * self._weights(each)) @ self._changes) ** 2).sum() for each in _STRENGTHS])

    def map(self, strength: float) -> LinearMap:
        change = (self._changes.T * self._weights(strength)) @ self._directions  # (D, D)
        weight, bias = np.eye(len(change)) + change, self._offset - change @ self._mean
        return LinearMap(weight, bias, strength, self._count)

    def _weights(self, strength: float) -> np.ndarray:
        """(K,)"""
        return np.asarray(self._sizes / (self._sizes**2 + strength * self._scale))


def with_map(model: bytes, feature: str, learned: LinearMap) -> bytes:
    """The ONNX file of a head on one feature (N, D) with the map before it, in its own layer where that is linear.

    Raises ModelInvalidError for a graph that takes more than this feature.
    """
    graph = onnx.load_from_string(model)
    if [each.name for each in graph.graph.input] != [feature]:
        raise ModelInvalidError(f"only a head on {feature!r} alone can be adapted")
    if not _folded(graph, learned):
        _prepend(graph, feature, learned)
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def _folded(model: onnx.ModelProto, learned: LinearMap) -> bool:
    """x W' + b with the map before it is x (W A)' + (W a + b). False where the graph is no such layer alone."""
    graph = model.graph
    if len(graph.node) != 1 or graph.node[0].op_type != "Gemm":
        return False
    node = graph.node[0]
    options = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    stored = {each.name: each for each in graph.initializer}
    plain = options.get("alpha", 1.0) == 1.0 and options.get("beta", 1.0) == 1.0 and not options.get("transA", 0)
    if not plain or len(node.input) != 3 or any(name not in stored for name in node.input[1:]):
        return False
    weight, bias = (numpy_helper.to_array(stored[name]).astype(np.float64) for name in node.input[1:])
    rows = weight if options.get("transB", 0) else weight.T  # (outputs, D)
    changed, added = rows @ learned.weight, bias + rows @ learned.bias  # (outputs, D), (outputs,)
    _store(stored[node.input[1]], changed if options.get("transB", 0) else changed.T)
    _store(stored[node.input[2]], added)
    return True


def _prepend(model: onnx.ModelProto, feature: str, learned: LinearMap) -> None:
    graph, mapped = model.graph, f"{feature}_adapted"
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == feature:
                node.input[place] = mapped
    names = [f"{mapped}_weight", f"{mapped}_bias"]
    for name, values in zip(names, (learned.weight, learned.bias), strict=True):
        stored = TensorProto(name=name)
        _store(stored, values)
        graph.initializer.append(stored)
    graph.node.insert(0, helper.make_node("Gemm", [feature, *names], [mapped], transB=1))


def _store(stored: TensorProto, values: np.ndarray) -> None:
    stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), stored.name))
