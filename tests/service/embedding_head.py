"""A small similarity head for tests: a task of its own in a temporary folder, a projection of `pooled`."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trunkline.core.bundle import model_digest, write_golden
from trunkline.core.repository import Repository

DIMENSION = 32
HEAD_PY = '''
"""A picture as a vector of length 1."""

import numpy as np

from trunkline.core.results import Embedding


class Head:
    task = "likeness"

    def __init__(self, bundle):
        self._space = bundle.manifest.settings["space"]

    def decode(self, outputs, frame, params):
        vector = outputs["vector"][0]
        return Embedding(self._space, tuple((vector / np.linalg.norm(vector)).tolist()))
'''


def add_task(folder: Path) -> str:
    """The folder of the task, for TRUNKLINE_HEADS_PATH."""
    task = folder / "likeness"
    task.mkdir(parents=True)
    (task / "__init__.py").touch()
    (task / "head.py").write_text(HEAD_PY)
    return str(folder)


def add_version(repository: Path, version: int = 1, dimension: int = DIMENSION, name: str = "likeness") -> str:
    """Another version with another projection; returns its space."""
    path = repository / "heads" / name / str(version)
    path.mkdir(parents=True)
    weights = np.random.default_rng(version).normal(size=(1280, dimension)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["pooled", "weights"], ["vector"])],
        "likeness",
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", 1280])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", dimension])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data = bytes(model.SerializeToString())
    onnx.checker.check_model(model)
    (path / "model.onnx").write_bytes(data)
    pooled = np.zeros((1, 1280), np.float32)
    write_golden(path, {"pooled": pooled}, {"vector": np.zeros((1, dimension), np.float32)})
    backbone = Repository(repository).backbone("efficientnet-lite0").manifest
    space = f"{name}-{version}"
    manifest = {
        "kind": "head",
        "task": "likeness",
        "name": name,
        "version": version,
        "digest": model_digest(data),
        "backbone": {"name": backbone.name, "version": backbone.version, "digest": backbone.digest},
        "features": ["pooled"],
        "preprocess": backbone.preprocess.model_dump(),
        "preprocess_fingerprint": backbone.preprocess_fingerprint,
        "mode": "features",
        "settings": {"space": space},
        "origin": {"source": "made by this test", "licence": "CC0", "data": "none"},
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    return space
