"""The clients of other languages in examples/, made from protos/ and run against real services."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import start_server

ROOT = Path(__file__).parents[2]
PICTURES = [str(ROOT / f"tests/samples/{name}.jpg") for name in ("coffee", "chelsea")]
Run = Callable[..., subprocess.CompletedProcess[str]]
NEEDED = ["go", "protoc", "protoc-gen-go", "protoc-gen-go-grpc"]
PACKAGES = ["google.golang.org/grpc", "google.golang.org/genproto/googleapis/rpc/errdetails"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Run:
    """Its packages are installed beside a copy of it."""
    if missing := [program for program in ("node", "npm") if shutil.which(program) is None]:
        pytest.skip(f"the example in Node needs {' and '.join(missing)}")
    if subprocess.run(["npm", "ping"], capture_output=True, check=False, timeout=120).returncode != 0:
        pytest.skip("the example in Node needs a registry of npm packages that answers `npm ping`")
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(ROOT / "examples/node", folder, ignore=shutil.ignore_patterns("node_modules"))
    _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)
    environment = {**os.environ, "TRUNKLINE_PROTOS": str(ROOT / "protos")}
    return lambda *arguments, **options: _run(
        ["node", str(folder / "main.js"), *arguments], env=environment, **options
    )


@pytest.fixture(scope="module")
def go(tmp_path_factory) -> Run:
    """Its code is generated and built in a workspace of its own, with the libraries of Debian."""
    if missing := [program for program in NEEDED if shutil.which(program) is None]:
        pytest.skip(f"the example in Go needs {', '.join(missing)}: examples/go/README.md says from where")
    workspace = tmp_path_factory.mktemp("go")
    environment = {**os.environ, "GO111MODULE": "off", "GOCACHE": str(workspace / "cache"), "GOFLAGS": ""}
    environment["GOPATH"] = f"{workspace}:/usr/share/gocode"
    if subprocess.run(["go", "list", *PACKAGES], env=environment, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"the example in Go needs {', '.join(PACKAGES)}: examples/go/README.md says from where")
    folder = workspace / "src/trunkline.example/client"
    folder.mkdir(parents=True)
    for path in (ROOT / "examples/go").glob("*.go"):
        shutil.copy(path, folder)
    _run([str(ROOT / "examples/go/generate.sh"), str(folder)])
    program = str(workspace / "client")
    _run(["go", "build", "-o", program, "trunkline.example/client"], env=environment)
    return lambda *arguments, **options: _run([program, *arguments], **options)


@pytest.fixture(params=["node", "go"])
def example(request) -> Run:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """Of a service with one place for who waits."""
    environment = {"TRUNKLINE_MAX_QUEUE": "1", "TRUNKLINE_THREADS": "1", "TRUNKLINE_HEADS": "imagenet,flowers102"}
    with start_server(tmp_path_factory.mktemp("busy") / "log", **environment) as server:
        yield server.address


def test_pictures_are_classified_and_analyzed_and_errors_are_read(example, target):
    lines = example(target, *PICTURES).stdout.splitlines()
    classes = [line.split() for line in lines if line.startswith("classify ")]
    assert classes[0][1] == "espresso"
    assert len(classes) == 3  # as top_k says

    streamed = {line for line in lines if line.startswith("stream ")}
    assert "stream coffee.jpg imagenet: espresso, cup" in streamed  # two, as the parameters say
    assert "stream chelsea.jpg imagenet: tiger cat, Egyptian cat" in streamed
    flowers = [line for line in streamed if " flowers102: " in line]
    assert len(flowers) == 2
    assert not [line for line in flowers if "," in line]
    assert {"stream coffee.jpg done: passes 1", "stream chelsea.jpg done: passes 1"} <= streamed
    (refused,) = (line.split() for line in streamed if line.startswith("stream broken "))
    assert refused[2:] in (
        ["refused:", "INVALID_ARGUMENT", "INVALID_IMAGE"],
        ["refused:", "InvalidArgument", "INVALID_IMAGE"],
    )

    (error,) = (line.split(maxsplit=4) for line in lines if line.startswith("error "))
    assert error[1] in ("NOT_FOUND", "NotFound")
    assert error[2:4] == ["NOT_FOUND", "trunkline"]
    assert json.loads(error[4]) == {"head": "flowers102", "version": "999"}


def test_a_busy_service_is_asked_again_after_the_time_that_it_names(example, busy):
    found = re.search(r"many answered: (\d+), asked again: (\d+)", example(busy, *PICTURES).stdout)
    assert found is not None
    assert int(found[1]) == 12
    assert int(found[2]) > 0


def test_where_no_service_answers_they_say_so(example):
    done = example("127.0.0.1:1", *PICTURES, status=1)
    assert "unavailable" in done.stderr.lower()


def _run(command: list[str], status: int = 0, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, **options)
    assert done.returncode == status, done.stdout + done.stderr
    return done
