"""Which machine a figure comes from."""

import platform
from importlib.metadata import version
from pathlib import Path

from trunkline.core.cpu import available_cores


def describe() -> str:
    """One line: processor, cores that may be used, system, versions of what counts."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "grpcio", "pillow", "numpy"))
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{_processor()}, {available_cores()} cores, {system}, {packages}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
