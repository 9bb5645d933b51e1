"""Model bundles without a model in them, for tests of what is around it."""

import hashlib
import json
from pathlib import Path

import numpy as np

from trunkline.core.bundle import write_golden
from trunkline.core.preprocess import PreprocessSpec

MODEL = b"not really ONNX"
DIGEST = hashlib.sha256(MODEL).hexdigest()
SPEC = PreprocessSpec(crop_share=0.875)
ORIGIN = {"source": "a test", "licence": "CC0", "data": "none"}


def backbone_manifest(name: str = "tiny", version: int = 1) -> dict:
    return {
        "schema_version": 1,
        "kind": "backbone",
        "name": name,
        "version": version,
        "digest": DIGEST,
        "architecture": "none",
        "features": [{"name": "c2", "channels": 24, "stride": 4}, {"name": "pooled", "channels": 1280, "stride": 0}],
        "preprocess": SPEC.model_dump(),
        "preprocess_fingerprint": SPEC.fingerprint,
        "origin": ORIGIN,
    }


def head_manifest(name: str = "dots", version: int = 1) -> dict:
    return {
        "kind": "head",
        "task": "classification",
        "name": name,
        "version": version,
        "digest": DIGEST,
        "backbone": {"name": "tiny", "version": 1, "digest": DIGEST},
        "features": ["pooled"],
        "preprocess": SPEC.model_dump(),
        "preprocess_fingerprint": SPEC.fingerprint,
        "mode": "features",
        "origin": ORIGIN,
    }


def write_bundle(path: Path, manifest: dict) -> Path:
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(MODEL)
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / "labels.txt").write_text("tree\nGefäß\n", encoding="utf-8")
    write_golden(path, {"pooled": np.ones((1, 3), np.float32)}, {"logits": np.zeros((1, 2), np.float32)})
    return path
