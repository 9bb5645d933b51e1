"""Whole models for the servers that have no shared backbone: backbone and head joined into one ONNX file."""

import json
from pathlib import Path

import onnx
from onnx import compose, helper
from onnx.utils import Extractor

from trunkline.core.exchange import IMAGE
from trunkline.core.repository import Repository


def write_full_models(repository: Path, folder: Path, heads: tuple[str, ...]) -> list[Path]:
    """One folder for each head, with `model.onnx`, `labels.txt` and `spec.json`."""
    return [_write(Repository(repository), folder / name, name) for name in heads]


def full_model(repository: Repository, head: str) -> bytes:
    """ONNX: image uint8 (N, H, W, C) -> the outputs of the head, without what of the backbone it does not need."""
    bundle = repository.head(head)
    if bundle.manifest.features == (IMAGE,):
        return bundle.read_model()
    backbone = repository.backbone(bundle.manifest.backbone.name, bundle.manifest.backbone.version)
    return joined(onnx.load_from_string(backbone.read_model()), onnx.load_from_string(bundle.read_model()))


def joined(backbone: onnx.ModelProto, head: onnx.ModelProto) -> bytes:
    """The two graphs as one: inputs of the backbone, outputs of the head. They must have the same opset."""
    if list(backbone.opset_import) != list(head.opset_import):
        raise ValueError("backbone and head have different opsets")
    inner = compose.add_prefix(head, "head/").graph
    given = [helper.make_node("Identity", [each.name], [f"head/{each.name}"]) for each in head.graph.input]
    answers = [helper.make_node("Identity", [f"head/{each.name}"], [each.name]) for each in head.graph.output]
    graph = helper.make_graph(
        [*backbone.graph.node, *given, *inner.node, *answers],
        "full",
        list(backbone.graph.input),
        list(head.graph.output),
        [*backbone.graph.initializer, *inner.initializer],
    )
    model = helper.make_model(graph, opset_imports=backbone.opset_import, ir_version=backbone.ir_version)
    names = [each.name for each in graph.input], [each.name for each in graph.output]
    return bytes(Extractor(model).extract_model(*names).SerializeToString())


def _write(repository: Repository, folder: Path, name: str) -> Path:
    bundle = repository.head(name)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(full_model(repository, name))
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in bundle.labels), encoding="utf-8")
    (folder / "spec.json").write_text(json.dumps(bundle.manifest.preprocess.model_dump()))
    return folder
