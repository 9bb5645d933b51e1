"""What stands in a model repository and what runs leave behind, with something wrong, read as in earnest."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from tests.fuzz.case import unpack
from tests.fuzz.child import Child
from tests.fuzz.folders import Files, laid_out, made
from tests.fuzz.loop import Fault
from trunkline.catalog.catalog import Catalog
from trunkline.cli.results_file import ResultsFile
from trunkline.core.bundle import model_digest
from trunkline.core.catalog import read_catalog
from trunkline.core.errors import TrunklineError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.repository import Repository
from trunkline.loadtest.report import read_run

_MODEL = b"no model, but its digest is right"
_ORIGIN = {"source": "here", "licence": "none", "data": "none"}


def _manifest(kind: str, name: str, version: int, **fields: object) -> bytes:
    spec = PreprocessSpec()
    return json.dumps({
        "schema_version": 1,
        "kind": kind,
        "name": name,
        "version": version,
        "digest": model_digest(_MODEL),
        "preprocess": spec.model_dump(),
        "preprocess_fingerprint": spec.fingerprint,
        "origin": _ORIGIN,
        **fields,
    }).encode()  # fmt: skip


@cache
def _golden(*, compressed: bool) -> bytes:
    file = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    arrays = {"input.pooled": np.ones((1, 8), np.float32), "output.logits": np.zeros((1, 2), np.float32)}
    save(file, allow_pickle=False, **arrays)
    return file.getvalue()


@cache
def _repository() -> Files:
    files: dict[str, bytes] = {
        "backbones/lite/1/manifest.json": _manifest(
            "backbone", "lite", 1, architecture="x", features=[{"name": "pooled", "channels": 8, "stride": 0}]
        ),
        "backbones/lite/1/model.onnx": _MODEL,
        "heads/cats/catalog.json": json.dumps(
            {"schema_version": 1, "revision": 3, "default": 2, "history": [1], "aliases": {"best": 2},
             "canary": {"version": 1, "share": 0.5}}
        ).encode(),
    }  # fmt: skip
    for version in (1, 2):
        folder = f"heads/cats/{version}"
        files |= {
            f"{folder}/manifest.json": _manifest(
                "head", "cats", version, task="classification", mode="features", features=["pooled"],
                backbone={"name": "lite", "version": 1, "digest": model_digest(_MODEL)}, metrics={"accuracy": 0.5},
                settings={"temperature": 1.5},
                evaluation={"data": "cats", "split": "test", "count": 3, "digest": model_digest(b"")},
            ),
            f"{folder}/model.onnx": _MODEL,
            f"{folder}/golden.npz": _golden(compressed=version == 1),
            f"{folder}/labels.txt": b"cat\ndog\n",
            f"{folder}/CARD.md": "# Cats\n\nÜber Katzen.\n".encode(),
        }  # fmt: skip
    return files


def _results() -> Files:
    lines = [
        {"image": "a.jpg", "outcomes": [{"head": "cats", "result": {"labels": []}}]},
        {"image": "b.jpg", "error": {"code": "UNAVAILABLE", "message": "away"}},
        {"image": "c.jpg", "outcomes": [{"head": "cats", "error": {"code": "NOT_FOUND"}}]},
    ]
    return {"results.jsonl": b"".join(json.dumps(line).encode() + b"\n" for line in lines)}


def _run() -> Files:
    return {"report.json": json.dumps({"format": 1, "command": "x", "started_at": "2026-01-01T00:00:00Z"}).encode()}


KINDS: dict[str, Callable[[], Files]] = {"repository": _repository, "results": _results, "run": _run}


class Stored:
    def __init__(self) -> None:
        self._child = Child("tests.fuzz.stored:read")

    def make(self, dice: Random) -> bytes:
        kind = dice.choice(("repository", "repository", "repository", "results", "run"))
        return made(dice, {"kind": kind}, KINDS[kind]())

    def check(self, data: bytes) -> Fault | None:
        return self._child.check(data)

    def finish(self) -> Fault | None:
        self._child.close()
        return None


def read(data: bytes) -> None:
    case = unpack(data)
    with laid_out(case) as root:
        for reader in _READERS[case.header["kind"]]:
            try:
                reader(root)
            except TrunklineError as error:
                if len(error.message) > 4096:
                    raise ValueError(f"a message of {len(error.message)} characters") from error


def _read_backbone(root: Path) -> None:
    Repository(root).backbone("lite").read_model()


def _read_heads(root: Path) -> None:
    repository = Repository(root)
    for version in repository.versions("head", "cats"):
        try:
            bundle = repository.head("cats", version)
        except TrunklineError:
            continue
        for part in (lambda b: b.labels, lambda b: b.read_model(), lambda b: b.read_golden()):
            try:
                part(bundle)
            except TrunklineError:
                continue


def _list(root: Path) -> None:
    catalog = Catalog(root)
    for model in catalog.models():
        for found in catalog.versions(model.name):
            try:
                catalog.version(model.name, found.version)
            except TrunklineError:
                continue


def _go_on(root: Path) -> None:
    with suppress(OSError), ResultsFile(root / "results.jsonl", ["cats"]) as results:  # as it says
        results.add({"image": "d.jpg", "outcomes": []})


_READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    "repository": (_read_backbone, _read_heads, lambda root: read_catalog(root, "cats"), _list),
    "results": (_go_on,),
    "run": (read_run,),
}
