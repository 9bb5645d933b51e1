"""The pods of rendered manifests as processes of this machine, with addresses and names as a cluster gives them."""

import atexit
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.probes import compiled
from tests.deploy.chart import ROOT, Manifest, environment, matches, of_kind, pods
from tests.service.nameserver import name_server

READY_WITHIN_S = 200


@functools.cache
def health_program() -> Path:
    """`trunkline-health` of the images, or a skip that says what is missing."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler: apt-get install gcc libc6-dev")
    folder = tempfile.mkdtemp(prefix="trunkline-health-")
    atexit.register(shutil.rmtree, folder)
    return compiled(Path(folder))


@dataclass
class Running:
    """A pod: its name, its address, and a process for each container."""

    name: str
    address: str
    containers: list[Manifest]
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def probe(self, container: Manifest, kind: str) -> bool:
        """What the kubelet would learn from a probe."""
        if "exec" in container[kind]:
            return self._succeeds(container[kind]["exec"]["command"])
        asked = container[kind]["grpc"]
        request = health_pb2.HealthCheckRequest(service=asked.get("service", ""))
        with grpc.insecure_channel(f"{self.address}:{asked['port']}") as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
            except grpc.RpcError:
                return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    def _succeeds(self, command: list[str]) -> bool:
        program, address, *options = command
        assert program == "trunkline-health"
        own = address.replace("127.0.0.1:", f"{self.address}:")  # the pod's loopback
        # And its file system.
        sockets = f"{tempfile.gettempdir()}/trunkline-{os.getuid()}/{self.address}_"
        own = own.replace("/tmp/trunkline-65532/0.0.0.0_", sockets)
        return subprocess.run([health_program(), own, *options], capture_output=True, check=False).returncode == 0


@contextmanager
def cluster(manifests: list[Manifest], folder: Path, replicas: dict[str, int]) -> Iterator[list[Running]]:
    """Run every Deployment, once or as often as `replicas` says, until all pods are ready."""
    first, second = random.randint(1, 254), random.randint(0, 254)  # of 127.0.0.0/8, so that runs do not meet
    running, names = [], {}
    for pod in pods(manifests):
        for _ in range(replicas.get(pod.name, 1) if pod.name != "trunkline-test" else 0):
            running.append(Running(pod.name, f"127.{first}.{second}.{len(running) + 1}", pod.spec["containers"]))
    labels = {pod.name: pod.labels for pod in pods(manifests)}
    for service in of_kind(manifests, "Service"):
        chosen = [each.address for each in running if matches(service["spec"]["selector"], labels[each.name])]
        names[service["metadata"]["name"]] = chosen
    with name_server(names) as server, ExitStack() as stack:
        for number, pod in enumerate(running):
            for container in pod.containers:
                process = _start(manifests, pod, container, server.port, folder / str(number))
                pod.processes.append(process)
                stack.callback(_end, process)
        _wait(running, folder)
        yield running


def _start(
    manifests: list[Manifest], pod: Running, container: Manifest, name_server_port: int, folder: Path
) -> "subprocess.Popen[bytes]":
    """As the manifest says, but for what a pod has for itself: address, file system, way to the name server."""
    own = {
        "0.0.0.0:": f"{pod.address}:",
        "127.0.0.1:": f"{pod.address}:",  # the pod's loopback
        "dns:///": f"dns://127.0.0.1:{name_server_port}/",
        "/var/lib/trunkline": str(folder / "state"),
        "/run/trunkline": str(folder / "memory"),
        "/run/secrets/trunkline": str(folder.parent / "secrets"),
    }
    variables = environment(manifests, container)
    for name, value in variables.items():
        for text, instead in own.items():
            value = value.replace(text, instead)  # noqa: PLW2901
        variables[name] = str(ROOT / "models") if name == "TRUNKLINE_MODELS" else value
    (folder / "state").mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    with (folder / f"{container['name']}.log").open("wb") as log:
        command = [sys.executable, "-m", "trunkline.cli.main", *container["args"]]
        return subprocess.Popen(command, env={**kept, **variables}, cwd=folder, stderr=log)


def _wait(running: list[Running], folder: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    waiting = [(pod, container) for pod in running for container in pod.containers]
    while waiting:
        waiting = [(pod, container) for pod, container in waiting if not pod.probe(container, "readinessProbe")]
        late = ", ".join(f"{pod.name}/{container['name']}" for pod, container in waiting)
        logs = "".join(path.read_text()[-2000:] for path in folder.glob("*/*.log")) if waiting else ""
        assert not waiting or time.monotonic() < deadline, f"not ready: {late}\n{logs}"
        time.sleep(0.2)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
