"""A head of a task of its own that takes as long as it is asked to, and keeps what it was asked."""

import json
import threading
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.service.bundles import linked_repository
from trunkline.core.bundle import model_digest, write_golden
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.repository import Repository

HEAD_PY = """
import time

from trunkline.core.head import Params, parse_params
from trunkline.core.results import Custom

from tests.service.slow_head import LOG


class Wait(Params):
    seconds: float = 0.0
    held: bool = False
    fail: bool = False


class Head:
    task = "waiting"

    def __init__(self, bundle):
        self._name = bundle.manifest.name

    def decode(self, outputs, frame, params):
        wait = parse_params(Wait, params)
        LOG.begin(self._name)
        time.sleep(wait.seconds)
        if wait.held:
            LOG.opened.wait(20)
        LOG.end(self._name)
        if wait.fail:
            raise RuntimeError("secret")
        return Custom({"waited": wait.seconds})
"""


class Log:
    """Which heads were begun and which came to their end, in this process. Those that are held wait for `opened`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.opened = threading.Event()

    def begin(self, name: str) -> None:
        with self._lock:
            self.begun.append(name)

    def end(self, name: str) -> None:
        with self._lock:
            self.ended.append(name)

    def clear(self) -> None:
        self.begun, self.ended = [], []
        self.opened.clear()

    def wait_begun(self, count: int, limit_s: float = 20) -> None:
        ends_at = time.monotonic() + limit_s
        while len(self.begun) < count:
            assert time.monotonic() < ends_at, f"{len(self.begun)} heads were begun in {limit_s} s"
            time.sleep(0.01)

    def wait_quiet(self, quiet_s: float = 0.5, limit_s: float = 20) -> int:
        """Heads begun, once none was for `quiet_s` seconds and all have ended."""
        ends_at, seen, since = time.monotonic() + limit_s, -1, time.monotonic()
        while time.monotonic() < ends_at:
            if (len(self.begun), len(self.ended)) != (seen, seen):
                seen, since = len(self.begun), time.monotonic()
            elif time.monotonic() - since >= quiet_s:
                return seen
            time.sleep(0.02)
        raise AssertionError(f"still busy after {limit_s} s")


LOG = Log()


def slow_heads(models: Path, folder: Path, *names: str) -> dict[str, object]:
    """Settings with the shipped backbone, imagenet, and heads of these names that wait `seconds`, a parameter.

    One whose name begins with "other" has a preprocessing spec of its own.
    """
    task = folder / "heads/waiting"
    task.mkdir(parents=True)
    (task / "__init__.py").touch()
    (task / "head.py").write_text(HEAD_PY)
    repository = linked_repository(models, folder)
    for name in names:
        _write_bundle(repository, name)
    LOG.clear()
    return {"models": repository, "heads_path": (str(folder / "heads"),)}


def _write_bundle(repository: Path, name: str) -> None:
    backbone = Repository(repository).backbone("efficientnet-lite0").manifest
    spec = PreprocessSpec(resize="squash") if name.startswith("other") else backbone.preprocess
    path = repository / "heads" / name / "1"
    path.mkdir(parents=True)
    model = _identity()
    (path / "model.onnx").write_bytes(model)
    pooled = np.zeros((1, 1280), np.float32)
    write_golden(path, {"pooled": pooled}, {"out": pooled})
    manifest = {
        "kind": "head",
        "task": "waiting",
        "name": name,
        "version": 1,
        "digest": model_digest(model),
        "backbone": {"name": backbone.name, "version": backbone.version, "digest": backbone.digest},
        "features": ["pooled"],
        "preprocess": spec.model_dump(),
        "preprocess_fingerprint": spec.fingerprint,
        "mode": "features",
        "settings": {},
        "origin": {"source": "made by this test", "licence": "CC0", "data": "none"},
    }
    (path / "manifest.json").write_text(json.dumps(manifest))


def _identity() -> bytes:
    """pooled float32 (N, 1280) -> out, the same."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["pooled"], ["out"])],
        "waiting",
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", 1280])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 1280])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
