"""Similarity heads for tests: a fixed linear map of `pooled`, as a real ONNX file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trunkline.core.bundle import model_digest, write_golden
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.repository import Repository

CHANNELS, WIDTH = 1280, 16
CALIBRATED = {"threshold": 0.5, "calibration": {"a": -8.0, "b": 4.0}}


def add_embedding_head(
    repository: Path,
    name: str,
    seed: int,
    settings: dict[str, Any] | None = None,
    version: int = 1,
    spec: PreprocessSpec | None = None,
) -> None:
    """embedding = pooled @ weights, weights float32 (1280, 16) by the seed."""
    weights = np.random.default_rng(seed).normal(0, 0.05, (CHANNELS, WIDTH)).astype(np.float32)
    path = repository / "heads" / name / str(version)
    path.mkdir(parents=True)
    model = _model(weights)
    (path / "model.onnx").write_bytes(model)
    ones = np.ones((1, CHANNELS), np.float32)
    write_golden(path, {"pooled": ones}, {"embedding": ones @ weights})
    backbone = Repository(repository).backbone("efficientnet-lite0").manifest
    spec = spec or backbone.preprocess
    manifest = {
        "kind": "head",
        "task": "similarity",
        "name": name,
        "version": version,
        "digest": model_digest(model),
        "backbone": {"name": backbone.name, "version": backbone.version, "digest": backbone.digest},
        "features": ["pooled"],
        "preprocess": spec.model_dump(),
        "preprocess_fingerprint": spec.fingerprint,
        "mode": "features",
        "settings": settings or {},
        "origin": {"source": "made by this test", "licence": "CC0", "data": "none"},
    }
    (path / "manifest.json").write_text(json.dumps(manifest))


def _model(weights: np.ndarray) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["pooled", "weights"], ["embedding"])],
        "embedding",
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", CHANNELS])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
