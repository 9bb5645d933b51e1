"""Where the containers come from, and why they may not be there."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.pods import Pods, pods
from tests.containers.stack import Stack, stack

_HELPERS = ("/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman")
_NUMBERS = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image", default=os.environ.get("TRUNKLINE_IMAGE", ""), help="image that tests/containers run")


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> str:
    """The name of the serving image, or a skip that says what is missing."""
    named = request.config.getoption("--image") or "trunkline:0.1.0"
    if os.geteuid() != 0 or _leads_out():
        pytest.skip("needs root and a network namespace of its own: make test-containers")
    for tool in ("podman", "runc", "nsenter", "iptables"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: install podman, runc, util-linux and iptables")
    for tool in ("netavark", "aardvark-dns"):
        if not any((Path(folder) / tool).exists() for folder in _HELPERS):
            pytest.skip(f"needs {tool}, the network of podman: install netavark and aardvark-dns")
    if subprocess.run(["podman", "image", "exists", named], check=False).returncode:
        pytest.skip(f"there is no image {named}: make images")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return named


@pytest.fixture(scope="session")
def training_image(image: str) -> str:
    """The name of the training image, or a skip that says how to make it."""
    repository, _, tag = image.rpartition(":")
    named = f"{repository}-training:{tag}"
    if subprocess.run(["podman", "image", "exists", named], check=False).returncode:
        pytest.skip(f"there is no image {named}: make image-training")
    return named


def _leads_out() -> bool:
    """Whether this network has a way to others, as that of the machine does."""
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    return any(route.split()[1] == "00000000" for route in routes)


@pytest.fixture
def network(image: str, models: Path) -> Iterator[Pods]:
    """A network for one test: names in it mean its containers and no others."""
    with pods(f"trunkline-{os.getpid()}-{next(_NUMBERS)}", image, models) as made:
        yield made


@pytest.fixture(scope="module")
def pairs(image: str, models: Path) -> Iterator[Stack]:
    """Two of everything that answers calls, in a network of their own."""
    twice = dict.fromkeys(("gateway", "backbone", "head-classification", "head-regression"), 2)
    with pods(f"trunkline-{os.getpid()}-{next(_NUMBERS)}", image, models) as made, stack(made, twice) as running:
        yield running
