"""Model repositories for the measurements: the shipped backbone and imagenet, and heads made here.

What a made head answers means nothing; what it costs is what a trained one of its shape costs.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trunkline.core.bundle import HeadManifest, Origin, model_digest, write_golden
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.publishing import manifest_text
from trunkline.core.repository import Repository
from trunkline.serving.session import OnnxSession

MODELS = Path(__file__).parents[1] / "models"
BACKBONE = "efficientnet-lite0"
IMAGENET = "imagenet"
# Three more heads on `pooled`, as wide as heads of known label sets: CIFAR-10, Oxford flowers, Places365.
LINEAR_HEADS = {"ten": 10, "hundred": 102, "places": 365}
FOUR_HEADS = (IMAGENET, *LINEAR_HEADS)
TINY = "tiny"
TINY_SPEC = PreprocessSpec(resize="squash", width=32, height=32)
_ORIGIN = Origin(source="made by a benchmark", licence="CC0", data="none")


def benchmark_repository(folder: Path) -> Path:
    """imagenet, three linear heads, and `tiny`, a head on 32x32 pixels that computes next to nothing."""
    linked(folder)
    for seed, (name, classes) in enumerate(LINEAR_HEADS.items()):
        add_linear_head(folder, name, classes, seed)
    _write(folder, TINY, 1, "image", TINY_SPEC, _tiny_model())
    return folder


def linked(folder: Path) -> Path:
    """A repository in `folder` that holds the shipped backbone and the head imagenet as links."""
    for model in (f"backbones/{BACKBONE}", f"heads/{IMAGENET}"):
        link = folder / model
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((MODELS / model).resolve())
    return folder


def add_linear_head(
    repository: Path, name: str, classes: int, seed: int, version: int = 1, *, backbone: str = BACKBONE
) -> None:
    """A classifier on `pooled` of a backbone with 1280 of it, with random weights."""
    spec = Repository(repository).backbone(backbone).manifest.preprocess
    _write(repository, name, version, "pooled", spec, _linear_model(classes, seed), backbone)


def _write(
    repository: Path,
    name: str,
    version: int,
    feature: str,
    spec: PreprocessSpec,
    model: bytes,
    on: str = BACKBONE,
) -> None:
    backbone = Repository(repository).backbone(on).manifest
    path = repository / "heads" / name / str(version)
    path.mkdir(parents=True)
    session = OnnxSession(model, name)
    inputs = {feature: _golden_input(feature)}
    outputs = session.run(inputs)
    manifest = HeadManifest(
        task="classification",
        name=name,
        version=version,
        digest=model_digest(model),
        backbone={"name": backbone.name, "version": backbone.version, "digest": backbone.digest},
        features=(feature,),
        preprocess=spec,
        preprocess_fingerprint=spec.fingerprint,
        mode="features" if feature == "pooled" else "scratch",
        origin=_ORIGIN,
    )
    (path / "model.onnx").write_bytes(model)
    (path / "labels.txt").write_text("".join(f"{name} {i}\n" for i in range(outputs["logits"].shape[1])))
    write_golden(path, inputs, outputs)
    (path / "manifest.json").write_text(manifest_text(manifest))


def _golden_input(feature: str) -> np.ndarray:
    if feature == "pooled":
        return np.ones((1, 1280), np.float32)
    return np.full((1, TINY_SPEC.height, TINY_SPEC.width, 3), 9, np.uint8)


def _linear_model(classes: int, seed: int) -> bytes:
    """pooled float32 (N, 1280) -> logits float32 (N, classes)."""
    weights = np.random.default_rng(seed).normal(0, 0.05, (1280, classes)).astype(np.float32)
    return _model(
        [helper.make_node("MatMul", ["pooled", "weights"], ["logits"])],
        helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", 1280]),
        [numpy_helper.from_array(weights, "weights")],
        classes,
    )


def _tiny_model() -> bytes:
    """image uint8 (N, 32, 32, 3) -> logits float32 (N, 5): a product of the mean colour."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
    ]
    weights = np.random.default_rng(0).normal(0, 0.01, (3, 5)).astype(np.float32)
    return _model(
        nodes,
        helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", TINY_SPEC.height, TINY_SPEC.width, 3]),
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1, 2], np.int64), "axes")],
        5,
    )


def _model(nodes: list[onnx.NodeProto], given: onnx.ValueInfoProto, values: list, classes: int) -> bytes:
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])
    graph = helper.make_graph(nodes, "head", [given], [logits], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
