"""Models that were made to do harm: each ends in one line, within bounds, and costs nobody else."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

from onnx import TensorProto, helper, numpy_helper

from tests.service.bundles import linked_repository
from trunkline.core.bundle import model_digest, write_golden
from trunkline.core.errors import ModelInvalidError, TrunklineError
from trunkline.core.repository import Repository
from trunkline.heads.loading import FaultyHead, LoadedHead
from trunkline.heads.versions import Choice, LoadedVersions
from trunkline.serving import session as sessions
from trunkline.serving.session import OnnxSession
from trunkline.training.imported import ImportRequest, bounded, import_detector
from trunkline.training.imported.onnx_file import read_onnx

SIDE = 64
ROWS = 84
FACTS = {"names": "{0: 'a', 1: 'b'}", "task": "detect", "imgsz": f"[{SIDE}, {SIDE}]"}


def whole(name: str, value: Any) -> Any:
    return numpy_helper.from_array(np.array(value, np.int64), name)


def model(nodes: list[Any], weights: list[Any], facts: dict[str, str] | None = None) -> Any:
    """images float32 (1, 3, 64, 64) -> `x`, which is made of them by the nodes, spread over (1, 6, 84)."""
    nodes = [*nodes, helper.make_node("Expand", ["x", "shape"], ["out"])]
    made = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 6, ROWS])],
        [*weights, whole("shape", [1, 6, ROWS])],
    )
    whole_model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(whole_model, FACTS | (facts or {}))
    return whole_model


def mean(source: str, target: str = "x") -> Any:
    return helper.make_node("ReduceMean", [source], [target], keepdims=0)


def endless() -> Any:
    """A loop of 2^40 turns."""
    scalar = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still_on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            scalar("turn", TensorProto.INT64, []),
            scalar("on", TensorProto.BOOL, []),
            scalar("v", TensorProto.FLOAT, []),
        ],
        [scalar("still_on", TensorProto.BOOL, []), scalar("w", TensorProto.FLOAT, [])],
    )
    loop = helper.make_node("Loop", ["turns", "yes", "m"], ["x"], body=body)
    return model([mean("images", "m"), loop], [whole("turns", 1 << 40), numpy_helper.from_array(np.True_, "yes")])


def vast() -> Any:
    """256 GiB of zeros."""
    zeros = helper.make_node("ConstantOfShape", ["many"], ["z"])
    return model([zeros, mean("z")], [whole("many", [1 << 36])])


def growing() -> Any:
    """8 GiB, which a machine may have."""
    spread = helper.make_node("Expand", ["m", "many"], ["z"])
    return model([mean("images", "m"), spread, mean("z")], [whole("many", [1 << 31])])


def long() -> Any:
    chain = [helper.make_node("Identity", [f"n{n}" if n else "images"], [f"n{n + 1}"]) for n in range(25_000)]
    return model([*chain, mean("n25000")], [])


def nested() -> Any:
    """Operations that hide in a branch."""
    chain = [helper.make_node("Identity", [f"n{n}" if n else "images"], [f"n{n + 1}"]) for n in range(25_000)]
    branches = [
        helper.make_graph([*chain], f"b{number}", [], [helper.make_tensor_value_info("n25000", 1, None)])
        for number in range(2)
    ]
    choice = helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1])
    return model([choice, mean("y")], [numpy_helper.from_array(np.True_, "yes")])


def functions() -> Any:
    made = model([helper.make_node("F", ["images"], ["y"], domain="own"), mean("y")], [])
    itself = helper.make_node("F", ["x"], ["y"], domain="own")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made.functions.append(helper.make_function("own", "F", ["x"], ["y"], [itself], opsets))
    made.opset_import.append(helper.make_opsetid("own", 1))
    return made


def wide() -> Any:
    """An initialiser that claims 4 TiB."""
    claims = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=bytes(16))
    return model([mean("w")], [claims])


def save(made: Any, file: Path) -> Path:
    file.write_bytes(made.SerializeToString())
    return file


@pytest.fixture
def repository(models, tmp_path):
    return linked_repository(models, tmp_path)


def pixels() -> dict[str, np.ndarray]:
    return {"images": np.zeros((1, 3, SIDE, SIDE), np.float32)}


def test_a_run_without_an_end_is_ended():
    session = OnnxSession(endless().SerializeToString(), "endless")
    started_at = time.monotonic()
    with pytest.raises(ModelInvalidError, match=r"endless: it takes longer than 0\.5 s for its example"):
        session.try_run(pixels(), within_s=0.5)
    assert time.monotonic() - started_at < 30
    with pytest.raises(ModelInvalidError, match="longer than"):  # and the session is none the worse for it
        session.try_run(pixels(), within_s=0.1)


def test_what_the_runtime_says_is_one_line():
    with pytest.raises(ModelInvalidError, match=r"vast: ONNX Runtime cannot (run it|load the model)") as caught:
        OnnxSession(vast().SerializeToString(), "vast").try_run(pixels())
    assert len(caught.value.message) < 400
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("make", "words"), [(long, "25002 operations"), (nested, "50003 operations"), (functions, "functions of its own")]
)
def test_graphs_that_no_detector_has_are_refused_unread(tmp_path, make, words):
    with pytest.raises(ModelInvalidError, match=words):
        read_onnx(save(make(), tmp_path / "x.onnx"))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_read(tmp_path, make):
    make(tmp_path / "x.onnx")
    with pytest.raises(TrunklineError, match="cannot be read"):
        read_onnx(tmp_path / "x.onnx")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (vast, "ONNX Runtime cannot"),
        (growing, "MiB of memory|ONNX Runtime cannot"),
        (wide, "ONNX Runtime cannot load"),
    ],
)
def test_an_import_that_takes_what_is_not_there_ends_in_one_line(repository, tmp_path, monkeypatch, make, words):
    monkeypatch.setattr(bounded, "_MEMORY", 2 * 2**30)
    with pytest.raises(ModelInvalidError, match=words) as caught:
        import_detector(ImportRequest(save(make(), tmp_path / "bad.onnx"), "bad"), repository)
    assert caught.value.message.startswith(str(tmp_path / "bad.onnx"))
    assert "\n" not in caught.value.message
    assert not (repository / "heads/bad").exists()
    assert [path.name for path in repository.glob(".*")] == []


def test_an_import_has_an_end(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "LONGEST_S", 0.5)
    with pytest.raises(ModelInvalidError, match=r"takes longer than [01] s to check"):
        import_detector(ImportRequest(save(endless(), tmp_path / "bad.onnx"), "bad"), repository)
    assert [path.name for path in repository.glob(".*")] == []


def test_an_import_whose_process_dies_says_how(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "_MODULE", "trunkline.no_such_module")
    with pytest.raises(ModelInvalidError, match="the process that tried ended with status 1"):
        import_detector(ImportRequest(save(endless(), tmp_path / "bad.onnx"), "bad"), repository)


def test_heads_are_served_beside_one_whose_example_has_no_end(repository, monkeypatch):
    monkeypatch.setattr(sessions, "GOLDEN_RUN_S", 0.5)
    source = Repository(repository).head("imagenet")
    folder = repository / "heads/endless/1"
    folder.mkdir(parents=True)
    net = endless()
    net.graph.output[0].name = net.graph.node[-1].output[0] = "logits"
    data = net.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    manifest = json.loads((source.path / "manifest.json").read_text())
    changes = {"name": "endless", "version": 1, "digest": model_digest(data), "features": ["image"], "metrics": {}}
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes, "evaluation": None}))
    (folder / "labels.txt").write_text("a\nb\n")
    write_golden(folder, pixels(), {"logits": np.zeros((1, 2), np.float32)})
    versions = LoadedVersions(Repository(repository), Choice(), grace_s=0)
    versions.refresh()
    assert isinstance(versions.find("imagenet", source.manifest.version), LoadedHead)
    found = versions.find("endless", 1)
    assert isinstance(found, FaultyHead)
    assert found.error.message == "endless/1: it takes longer than 0.5 s for its example"
    assert versions.heads["endless"].fault == found.error.message
