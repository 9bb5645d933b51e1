"""Model repositories for tests: the real models, with one more head that is a changed copy or a small new one."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trunkline.core.bundle import model_digest, write_golden
from trunkline.core.repository import Repository


def repository_with_head(
    models: Path, folder: Path, name: str, *, backbone_digest: str | None = None, spoil_golden: bool = False
) -> Path:
    """A repository in `folder` with the shipped models and a head `name`, a copy of imagenet but for the changes."""
    repository = linked_repository(models, folder)
    source = Repository(models).head("imagenet").path
    path = repository / "heads" / name / "1"
    shutil.copytree(source, path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest |= {"name": name, "version": 1}
    if backbone_digest is not None:
        manifest["backbone"]["digest"] = backbone_digest
    (path / "manifest.json").write_text(json.dumps(manifest))
    if spoil_golden:
        inputs, outputs = Repository(models).head("imagenet").read_golden()
        write_golden(path, inputs, {key: value + np.float32(10) for key, value in outputs.items()})
    return repository


def linked_repository(models: Path, folder: Path) -> Path:
    """A repository in `folder` that holds the shipped backbone and the head imagenet as links."""
    repository = folder / "models"
    for model in ("backbones/efficientnet-lite0", "heads/imagenet"):
        link = repository / model
        link.parent.mkdir(parents=True)
        link.symlink_to((models / model).resolve())
    return repository


def add_regression_head(
    repository: Path,
    name: str,
    targets: Sequence[Mapping[str, Any]],
    weights: np.ndarray,
    bias: Sequence[float],
    *,
    logarithm: bool = False,
) -> None:
    """A head `name` on `pooled`: values = pooled @ weights + bias, or their logarithm. weights: (1280, columns)."""
    model = _linear_model(weights.astype(np.float32), np.array(bias, np.float32), logarithm)
    path = repository / "heads" / name / "1"
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(model)
    pooled = np.zeros((1, len(weights)), np.float32)
    golden = np.array([bias], np.float32)
    write_golden(path, {"pooled": pooled}, {"values": np.log(golden) if logarithm else golden})
    backbone = Repository(repository).backbone("efficientnet-lite0").manifest
    manifest = {
        "kind": "head",
        "task": "regression",
        "name": name,
        "version": 1,
        "digest": model_digest(model),
        "backbone": {"name": backbone.name, "version": backbone.version, "digest": backbone.digest},
        "features": ["pooled"],
        "preprocess": backbone.preprocess.model_dump(),
        "preprocess_fingerprint": backbone.preprocess_fingerprint,
        "mode": "features",
        "settings": {"targets": list(targets)},
        "origin": {"source": "made by this test", "licence": "CC0", "data": "none"},
    }
    (path / "manifest.json").write_text(json.dumps(manifest))


def _linear_model(weights: np.ndarray, bias: np.ndarray, logarithm: bool) -> bytes:
    """pooled float32 (N, channels) -> values float32 (N, columns)."""
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["pooled", "weights", "bias"], ["estimates"]),
            helper.make_node("Log" if logarithm else "Identity", ["estimates"], ["values"]),
        ],
        "regression",
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", weights.shape[0]])],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["n", weights.shape[1]])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
