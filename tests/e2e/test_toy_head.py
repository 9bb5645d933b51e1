"""A head of a new task from a temporary folder, served with no other change: what adding a head costs."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.service.bundles import linked_repository
from trunkline.client import AsyncClient
from trunkline.core.bundle import write_golden
from trunkline.core.repository import Repository
from trunkline.core.results import Custom
from trunkline.testing import serve, serve_split

HEAD_PY = '''
"""Mean brightness of a picture: a task that Trunkline does not know."""

from trunkline.core.head import Params, parse_params
from trunkline.core.results import Custom


class BrightnessParams(Params):
    scale: float = 1.0


class Head:
    task = "brightness"

    def __init__(self, bundle):
        self._unit = bundle.manifest.settings["unit"]

    def decode(self, outputs, frame, params):
        scale = parse_params(BrightnessParams, params).scale
        value = float(outputs["mean"][0]) * scale
        return Custom({"brightness": value, "unit": self._unit, "width": frame.image_width})
'''


def brightness_model() -> bytes:
    """image uint8 (N, H, W, 3) -> mean float32 (N)."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        ],
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def toy(tmp_path, models) -> dict[str, object]:
    """A heads folder with the toy task, and a repository with the real models and the toy bundle beside them."""
    task = tmp_path / "heads/brightness"
    task.mkdir(parents=True)
    (task / "__init__.py").touch()
    (task / "head.py").write_text(HEAD_PY)
    repository = linked_repository(models, tmp_path)
    write_toy_bundle(repository / "heads/toy/1", Repository(models).backbone("efficientnet-lite0").manifest)
    return {"models": repository, "heads_path": (str(tmp_path / "heads"),)}


def write_toy_bundle(path: Path, backbone) -> None:
    path.mkdir(parents=True)
    model = brightness_model()
    (path / "model.onnx").write_bytes(model)
    image = np.full((1, 32, 32, 3), 100, np.uint8)
    write_golden(path, {"image": image}, {"mean": np.array([100.0], np.float32)})
    manifest = {
        "kind": "head",
        "task": "brightness",
        "name": "toy",
        "version": 1,
        "digest": hashlib.sha256(model).hexdigest(),
        "backbone": {"name": backbone.name, "version": backbone.version, "digest": backbone.digest},
        "features": ["image"],
        "preprocess": backbone.preprocess.model_dump(),
        "preprocess_fingerprint": backbone.preprocess_fingerprint,
        "mode": "scratch",
        "settings": {"unit": "level"},
        "origin": {"source": "made by this test", "licence": "CC0", "data": "none"},
    }
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("form", [serve, serve_split])
async def test_a_toy_head_from_a_temporary_folder_is_served_beside_the_real_one(toy, form, photos):
    async with form(**toy) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        heads = await client.list_heads()
        done = await client.analyze(photos[0], ["toy", "imagenet"])
        scaled = await client.analyze(photos[0], [("toy", {"scale": 2.0})])
    assert [head.name for head in heads] == ["imagenet", "toy"]
    toy_answer, imagenet = done.outcomes
    assert isinstance(toy_answer.result, Custom)
    assert 0 < toy_answer.result.fields["brightness"] < 255
    assert toy_answer.result.fields["unit"] == "level"
    assert toy_answer.result.fields["width"] == done.image_size.width
    assert imagenet.result.labels
    assert done.backbone_passes == 1
    assert scaled.outcomes[0].result.fields["brightness"] == pytest.approx(2 * toy_answer.result.fields["brightness"])


async def test_an_unknown_parameter_costs_the_toy_head_alone(toy, photos):
    async with serve(**toy) as host, AsyncClient(host.address) as client:
        done = await client.analyze(photos[0], [("toy", {"colour": "red"}), "imagenet"])
    refused, answered = done.outcomes
    assert refused.error.code == "INVALID_ARGUMENT"
    assert "'colour'" in refused.error.message
    assert "scale" in refused.error.message
    assert answered.result.labels


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("from nowhere import nothing", "nowhere"),
        ("class Task:\n    pass", "Task"),
        ("x = ", "invalid syntax"),
    ],
)
def test_a_task_that_cannot_be_used_is_one_line(code, said, tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/__init__.py").touch()
    (tmp_path / "odd/head.py").touch()
    (tmp_path / "odd/task.py").write_text(code)
    environment = {**os.environ, "TRUNKLINE_HEADS_PATH": str(tmp_path)}
    command = [sys.executable, "-c", "from trunkline.cli.entry import program; program()", "models", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.returncode == 1
    assert "task.py of task 'odd' cannot be used" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
