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
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.repository import Repository

BACKBONE = "efficientnet-lite0"


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
    backbone: str = BACKBONE,
    version: int = 1,
) -> None:
    """A head `name` on `pooled`: pooled @ weights + bias, or the logarithm of it. weights: (channels, columns)."""
    model = _linear_model(weights.astype(np.float32), np.array(bias, np.float32), logarithm)
    golden = np.array([bias], np.float32)
    inputs = {"pooled": np.zeros((1, len(weights)), np.float32)}
    outputs = {"values": np.log(golden) if logarithm else golden}
    settings = {"targets": list(targets)}
    write_head(repository, name, "regression", model, (inputs, outputs), settings, backbone=backbone, version=version)


def add_map_head(repository: Path, name: str, features: Sequence[str], side: int) -> None:
    """A head `name` on feature maps of a picture of `side` x `side`: its one value is the mean of their means."""
    manifest = Repository(repository).backbone(BACKBONE).manifest
    channels = {feature.name: feature.channels for feature in manifest.features}
    model = _mean_model({feature: channels[feature] for feature in features})
    inputs = {feature: np.ones((1, channels[feature], 2, 2), np.float32) for feature in features}
    spec = manifest.preprocess.model_copy(update={"width": side, "height": side})
    outputs = {"values": np.ones((1, 1), np.float32)}
    _write_regression(
        repository,
        name,
        model,
        inputs,
        outputs,
        [{"name": "mean", "unit": "", "kind": "number", "low": -9, "high": 9}],
        spec,
    )


def _write_regression(
    repository: Path,
    name: str,
    model: bytes,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    targets: Sequence[Mapping[str, Any]],
    spec: PreprocessSpec | None = None,
) -> None:
    write_head(repository, name, "regression", model, (inputs, outputs), {"targets": list(targets)}, spec)


def write_head(
    repository: Path,
    name: str,
    task: str,
    model: bytes,
    golden: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]],
    settings: Mapping[str, Any],
    spec: PreprocessSpec | None = None,
    *,
    backbone: str = BACKBONE,
    version: int = 1,
) -> Path:
    """The bundle of a head whose features are the golden inputs, with the backbone's spec where none is given."""
    inputs, outputs = golden
    target = repository / "heads" / name / str(version)
    path = repository / f".{name}-{version}"
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(model)
    write_golden(path, dict(inputs), dict(outputs))
    base = Repository(repository).backbone(backbone).manifest
    spec = spec or base.preprocess
    manifest = {
        "kind": "head",
        "task": task,
        "name": name,
        "version": version,
        "digest": model_digest(model),
        "backbone": {"name": base.name, "version": base.version, "digest": base.digest},
        "features": list(inputs),
        "preprocess": spec.model_dump(),
        "preprocess_fingerprint": spec.fingerprint,
        "mode": "features",
        "settings": dict(settings),
        "origin": {"source": "made by this test", "licence": "CC0", "data": "none"},
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(path, target))  # whole at once


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


def _mean_model(channels: Mapping[str, int]) -> bytes:
    """Maps float32 (N, channels, H, W) -> values float32 (N, 1): the mean over maps of the mean over each."""
    means = [
        helper.make_node("ReduceMean", [name, "axes"], [f"{name}_mean"], keepdims=0, name=name) for name in channels
    ]
    graph = helper.make_graph(
        [
            *means,
            helper.make_node("Mean", [f"{name}_mean" for name in channels], ["mean"]),
            helper.make_node("Unsqueeze", ["mean", "one"], ["values"]),
        ],
        "mean",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count, f"{name}_h", f"{name}_w"])
            for name, count in channels.items()
        ],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["n", 1])],
        [
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
