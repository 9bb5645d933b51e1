"""Versions of a small classification head whose answers are known, for tests of swaps.

Odd versions take `pooled` of the shipped backbone in its own spec, even ones the pixels of a 64x64 squash; each has
weights and labels of its own. So an answer of the wrong version, or one with the features of another, is seen.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trunkline.core.bundle import write_golden
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import PreprocessSpec, preprocess
from trunkline.core.repository import Repository
from trunkline.serving.session import OnnxSession, load_session

BACKBONE = "efficientnet-lite0"
PIXELS = PreprocessSpec(resize="squash", width=64, height=64)
CLASSES = 3


def write_version(models: Path, name: str, version: int, *, seed: int | None = None, **changes: object) -> Path:
    """Put a version in place, whole at once; `changes` are fields of its manifest. Returns its folder."""
    backbone = Repository(models).backbone(BACKBONE).manifest
    pooled = version % 2 == 1
    model = _model(pooled, version if seed is None else seed)
    spec = backbone.preprocess if pooled else PIXELS
    manifest = {
        "kind": "head",
        "task": "classification",
        "name": name,
        "version": version,
        "digest": hashlib.sha256(model).hexdigest(),
        "backbone": {"name": backbone.name, "version": backbone.version, "digest": backbone.digest},
        "features": ["pooled" if pooled else "image"],
        "preprocess": spec.model_dump(),
        "preprocess_fingerprint": spec.fingerprint,
        "mode": "features" if pooled else "scratch",
        "origin": {"source": "a test", "licence": "CC0", "data": "none"},
        **changes,
    }
    target = models / "heads" / name / str(version)
    aside = models / f".{name}-{version}"
    aside.mkdir(parents=True)
    (aside / "model.onnx").write_bytes(model)
    (aside / "manifest.json").write_text(json.dumps(manifest))
    (aside / "labels.txt").write_text("".join(f"v{version} {letter}\n" for letter in "abc"))
    (aside / "CARD.md").write_text(f"# {name} {version}\n")
    inputs = {"pooled": np.ones((1, 1280), np.float32)} if pooled else {"image": np.full((1, 64, 64, 3), 9, np.uint8)}
    write_golden(aside, inputs, OnnxSession(model, name).run(inputs))
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(aside, target))


def known_answer(models: Path, name: str, version: int, photo: Path) -> dict[str, float]:
    """Score by label, computed without any service."""
    head = Repository(models).head(name, version)
    pixels, _ = preprocess(EncodedImage(photo.read_bytes()), head.manifest.preprocess)
    inputs = {"image": pixels}
    if head.manifest.features == ("pooled",):
        inputs = load_session(Repository(models).backbone(BACKBONE)).run(inputs, ["pooled"])
    logits = OnnxSession(head.read_model(), name).run(inputs)["logits"][0]
    scores = np.exp(logits - logits.max())
    return {label: float(score) for label, score in zip(head.labels, scores / scores.sum(), strict=True)}


def _model(pooled: bool, seed: int) -> bytes:
    """pooled (N, 1280) or image uint8 (N, H, W, 3) -> logits (N, CLASSES): random weights, the same for each seed."""
    width = 1280 if pooled else 3
    weights = np.random.default_rng(seed).normal(0, 1 / width, (width, CLASSES)).astype(np.float32)
    if pooled:
        nodes = [helper.make_node("MatMul", ["pooled", "weights"], ["logits"])]
        given = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", width])
    else:
        nodes = [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
            helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        ]
        given = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])
    graph = helper.make_graph(
        nodes,
        "head",
        [given],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [
            numpy_helper.from_array(weights / 20 if not pooled else weights * 20, "weights"),
            *([] if pooled else [numpy_helper.from_array(np.array([1, 2], np.int64), "axes")]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
