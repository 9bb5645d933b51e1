"""Which machine a figure comes from."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trunkline.core.cpu import available_cores


def describe(packages: Sequence[str]) -> str:
    """One line: processor, cores that may be used, system, versions of those packages that are there."""
    system = f"{platform.system()}, Python {platform.python_version()}"
    found = (f"{name} {_version(name)}" for name in packages if _version(name))
    return ", ".join([_processor(), f"{available_cores()} cores", system, *found])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
