"""The servers that are compared, each as processes of its own on free ports."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from benchmarks import protos
from benchmarks.load.targets import Input, Kind, Target
from benchmarks.peers.mlserver.environment import mlserver_command
from trunkline.core.cpu import available_cores

ROOT = Path(__file__).parents[1]
ServerName = Literal["all in one", "split", "hand-written", "MLServer", "MLServer, batching"]
ALL_IN_ONE: ServerName = "all in one"
SPLIT: ServerName = "split"
HANDWRITTEN: ServerName = "hand-written"
MLSERVER: ServerName = "MLServer"
MLSERVER_BATCHING: ServerName = "MLServer, batching"
SERVERS: tuple[ServerName, ...] = (ALL_IN_ONE, SPLIT, HANDWRITTEN, MLSERVER)
OURS = (ALL_IN_ONE, SPLIT)
# No features are kept from one call to the next, and no trainer runs beside.
_TRUNKLINE_ENVIRONMENT = {"TRUNKLINE_FEATURE_CACHE_BYTES": "0", "TRUNKLINE_TRAINING_JOBS": "0"}


@dataclass(frozen=True)
class Models:
    """The same models in the form of each server: a model repository, and a folder of whole models."""

    repository: Path
    full: Path


@dataclass(frozen=True)
class Running:
    """A server that was started; it may still be loading."""

    name: ServerName
    address: str
    process: psutil.Process
    heads: tuple[str, ...]

    def target(self, heads: Sequence[str] = (), given: Input = "jpeg") -> Target:
        """How to ask it; all its heads where none are named."""
        return Target(_KINDS[self.name], self.address, tuple(heads) or self.heads, given)


@contextmanager
def running(
    name: ServerName, models: Models, heads: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Start a server with these models, and stop it at the end. Raises NotInstalledError for MLServer."""
    port = free_port()
    if name in OURS:
        started = _trunkline(name, models, heads, port, environment or {})
    elif name == HANDWRITTEN:
        started = _handwritten(models, heads, port)
    else:
        started = _mlserver(models, heads, port, batching=name == MLSERVER_BATCHING)
    with started as process:
        yield Running(name, f"127.0.0.1:{port}", process, tuple(heads))


def _trunkline(
    name: ServerName, models: Models, heads: Sequence[str], port: int, environment: Mapping[str, str]
) -> "_Process":
    form = ("--split",) if name == SPLIT else ()
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", *form, "--address", f"127.0.0.1:{port}"]
    settings = {"TRUNKLINE_MODELS": str(models.repository), "TRUNKLINE_HEADS": ",".join(heads)}
    return _Process(command, {**_TRUNKLINE_ENVIRONMENT, **settings, **environment})


def _handwritten(models: Models, heads: Sequence[str], port: int) -> "_Process":
    folders = [str(models.full / head) for head in heads]
    command = [sys.executable, "-m", "benchmarks.peers.handwritten.server", str(port), *folders]
    return _Process(command, {"PYTHONPATH": _path(protos.generated(protos.HANDWRITTEN))})


def _mlserver(models: Models, heads: Sequence[str], port: int, *, batching: bool) -> "_Process":
    folder = models.full.parent / f"mlserver-{port}"
    folder.mkdir()
    settings = {
        "host": "127.0.0.1",
        "http_port": free_port(),
        "grpc_port": port,
        "metrics_endpoint": None,
        "parallel_workers": available_cores(),
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    for head in heads:
        (folder / head).mkdir()
        model = {
            "name": head,
            "implementation": "benchmarks.peers.mlserver.runtime.Vision",
            "parameters": {"uri": str(models.full / head)},
            **({"max_batch_size": 8, "max_batch_time": 0.01} if batching else {}),
        }
        (folder / head / "model-settings.json").write_text(json.dumps(model))
    return _Process([str(mlserver_command()), "start", str(folder)], {"PYTHONPATH": str(ROOT)})


class _Process:
    """A server process; entering starts it, leaving ends it."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._command, self._environment = command, {**os.environ, **environment}

    def __enter__(self) -> psutil.Process:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=quiet, stderr=quiet, cwd=ROOT, env=self._environment)
        return psutil.Process(self._process.pid)

    def __exit__(self, *_: object) -> None:
        below = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=6)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for part in psutil.wait_procs(below, timeout=5)[1]:
            part.kill()


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _path(*folders: Path) -> str:
    return os.pathsep.join([*map(str, folders), str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


_KINDS: dict[ServerName, Kind] = {
    ALL_IN_ONE: "trunkline",
    SPLIT: "trunkline",
    HANDWRITTEN: "handwritten",
    MLSERVER: "mlserver",
    MLSERVER_BATCHING: "mlserver",
}
