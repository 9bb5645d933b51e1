"""MLServer's own environment, made on first use; it and Trunkline want different protobuf versions."""

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
FOLDER = HERE.parents[2] / "out/bench/mlserver"


class NotInstalledError(RuntimeError):
    """The packages could not be installed; the message says why."""


def mlserver_command() -> Path:
    """The `mlserver` program. Raises NotInstalledError."""
    made = FOLDER / f".made-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]}"
    if not made.exists():
        _run(sys.executable, "-m", "venv", str(FOLDER))
        _run(str(FOLDER / "bin/pip"), "install", "--quiet", "--requirement", str(REQUIREMENTS))
        made.touch()
    return FOLDER / "bin/mlserver"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), done.stderr[-200:])
        raise NotInstalledError(f"MLServer could not be installed: {reason.strip()}")
