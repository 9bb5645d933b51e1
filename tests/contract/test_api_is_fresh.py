"""The generated code is what the protos say, and nobody edited it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from docs.generate import clients, twins
from trunkline.gateway.rest.openapi import document

ROOT = Path(__file__).parents[2]


def test_the_document_of_http_is_fresh(tmp_path):
    files = tmp_path / "protos.bin"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'protos'}", *_protos(), "--include_source_info"]
    subprocess.run([*command, f"--descriptor_set_out={files}"], check=True)
    fresh = json.dumps(document(FileDescriptorSet.FromString(files.read_bytes()).file))
    committed = json.loads((ROOT / "services/trunkline/gateway/rest/openapi.json").read_text())
    assert json.loads(fresh) == committed, "run `make proto`"


def test_generated_code_is_fresh(tmp_path):
    scripts = Path(sys.executable).parent
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{ROOT / 'protos'}",
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--python_out={tmp_path}",
        f"--grpc_python_out={tmp_path}",
        f"--mypy_out=quiet:{tmp_path}",
        f"--mypy_grpc_out=quiet:{tmp_path}",
        *_protos(),
    ]
    subprocess.run(command, check=True)
    fresh = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.py*")}
    api = ROOT / "services"
    committed = {
        path.relative_to(api): path.read_text()
        for path in (api / "trunkline/api").rglob("*.py*")
        if path.suffix in (".py", ".pyi") and path.name != "__init__.py"
    }
    assert committed == fresh, "run `make proto`"


@pytest.mark.parametrize("name", clients.files())
def test_what_follows_from_the_tasks_is_fresh(name):
    written = (clients.FOLDER / name).read_text(encoding="utf-8")
    assert written == clients.files()[name], "run `python -m docs.generate`"


def test_clients_for_plain_code_are_those_for_asyncio():
    for name, text in twins.files().items():
        assert (twins.FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run `python -m docs.generate`"


def _protos() -> list[str]:
    return sorted(str(path) for path in (ROOT / "protos/trunkline").rglob("*.proto"))
