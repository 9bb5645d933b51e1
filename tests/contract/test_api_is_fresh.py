"""The generated code is what the protos say, and nobody edited it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_code_is_fresh(tmp_path):
    protos = sorted(str(path) for path in (ROOT / "protos").rglob("*.proto"))
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
        *protos,
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
