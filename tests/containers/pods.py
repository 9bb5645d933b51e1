"""Containers under podman, with the rights, limits and environment that the chart gives to pods."""

import ipaddress
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.containers.waiting import wait_until
from tests.service.nameserver import Names

METRICS_PORT = 9464
_FIRST_ADDRESS, _ADDRESSES = 10, 240  # of 256, those beside are the network's own
SERVING = health_pb2.HealthCheckResponse.SERVING
# cgroupfs and runc also work where no systemd runs.
_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_backend = "netavark"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_RESTRICTED = (
    "--user=65532:65532",
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp:rw,size=64m,mode=1777",
    "--tmpfs=/var/lib/trunkline:rw,size=64m,U",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--pids-limit=512",
)


class Pods:
    """Containers of one network; their names begin with `prefix`. Each answers to the name of its service in DNS.

    names: the name server that they ask, instead of podman's, which tells of what is published there alone.
    """

    def __init__(
        self, prefix: str, image: str, models: Path, configuration: Path, names: Names | None = None
    ) -> None:
        self.prefix, self.image, self.network = prefix, image, f"{prefix}-net"
        self.names = names
        self._models = models
        self._environment = {**os.environ, "CONTAINERS_CONF": str(configuration)}
        self._folder = configuration.parent  # podman leaves a file where it runs when a container is out of memory
        self._count = 0
        self._ips: dict[str, str] = {}
        self._ports: dict[str, int] = {}

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Standard output of a podman command."""
        done = subprocess.run(
            ["podman", *arguments],
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def start(
        self,
        service: str,
        *command: str,
        port: int = 8500,
        image: str = "",
        memory: str = "1g",
        cpus: float = 2,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Start a container of a service; its name. It has been started, not more."""
        self._count += 1
        name = f"{self.prefix}-{service}-{self._count}"
        listens = {"TRUNKLINE_METRICS_ADDRESS": f"0.0.0.0:{METRICS_PORT}", "TRUNKLINE_INSECURE": "true"}
        values = {**listens, **(environment or {})}
        self.podman(
            "run",
            "--detach",
            f"--name={name}",
            f"--network={self.network}",
            *([f"--dns={self.own_address()}"] if self.names else [f"--network-alias={service}"]),
            *self._free_place(),
            *_RESTRICTED,
            f"--memory={memory}",
            f"--cpus={cpus}",
            f"--volume={self._models}:/models:ro",
            *(f"--env={key}={value}" for key, value in values.items()),
            *options,
            image or self.image,
            *command,
        )
        self._ports[name] = port
        return name

    def _free_place(self) -> tuple[str, str]:
        """An address that none of the last 239 containers has had, as a new pod has one, and one of Ethernet with it.

        A pod keeps both while its container starts again; podman would give another of Ethernet, and others would
        send to the old one until they noticed.
        """
        address = self.subnet()[_FIRST_ADDRESS + self._count % _ADDRESSES]
        return f"--ip={address}", f"--mac-address={address.packed.hex(':').join(('02:00:', ''))}"

    def subnet(self) -> ipaddress.IPv4Network:
        found = self.podman("network", "inspect", "--format={{(index .Subnets 0).Subnet}}", self.network)
        return ipaddress.IPv4Network(found)

    def own_address(self) -> str:
        """Of this machine in the network of the containers."""
        return str(self.subnet()[1])

    def publish(self, service: str, name: str) -> None:
        """From now on DNS has this container among those of its service."""
        assert self.names is not None
        self.names.addresses.setdefault(service, []).append(self.ip(name))

    def withdraw(self, service: str, name: str) -> None:
        """From now on it has not."""
        assert self.names is not None
        self.names.addresses[service].remove(self.ip(name))

    def stop(self, name: str, within_s: int = 40) -> int:
        """SIGTERM, as a kubelet sends it, and SIGKILL `within_s` later; the exit status."""
        self.podman("stop", f"--time={within_s}", name)
        return int(self.state(name)["ExitCode"])

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.podman("kill", "--signal=KILL", name)

    def restart(self, name: str) -> None:
        """Start a container that has ended, as a kubelet does in the same pod: it has the address that it had."""
        self.podman("start", name)

    def remove(self, *names: str) -> None:
        self.podman("rm", "--force", "--time=0", *names)

    def state(self, name: str) -> dict:
        return json.loads(self.podman("inspect", "--format={{json .State}}", name))

    def logs(self, name: str) -> str:
        done = subprocess.run(
            ["podman", "logs", name], env=self._environment, capture_output=True, text=True, check=True
        )
        return done.stdout + done.stderr

    def ip(self, name: str) -> str:
        if name not in self._ips:
            found = self.podman("inspect", "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
            self._ips[name] = found
        return self._ips[name]

    def address(self, name: str) -> str:
        return f"{self.ip(name)}:{self._ports[name]}"

    def metrics(self, name: str) -> str:
        """Where its /metrics are, HOST:PORT."""
        return f"{self.ip(name)}:{METRICS_PORT}"

    def is_serving(self, name: str, service: str = "") -> bool:
        """What a readiness probe would find."""
        options = [("grpc.enable_http_proxy", 0), ("grpc.min_reconnect_backoff_ms", 500)]
        with grpc.insecure_channel(self.address(name), options=options) as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            try:
                return health_pb2_grpc.HealthStub(channel).Check(request, timeout=2).status == SERVING
            except grpc.RpcError:
                return False

    def wait_serving(self, *names: str, within_s: float = 120) -> None:
        """Until each is ready; fails at once where one has ended."""

        def serves(name: str) -> bool:
            assert self.state(name)["Running"], f"{name} ended: {self.logs(name)}"
            return self.is_serving(name)

        for name in names:
            wait_until(lambda name=name: serves(name), within_s, lambda name=name: self.logs(name))

    def in_network_of(self, name: str, *command: str) -> None:
        """Run a command of this machine in the network namespace of a container."""
        namespace = f"/proc/{self.state(name)['Pid']}/ns/net"
        subprocess.run(["nsenter", f"--net={namespace}", *command], check=True, capture_output=True)

    def all(self) -> list[str]:
        return self.podman("ps", "--all", f"--filter=name={self.prefix}-", "--format={{.Names}}").split()


@contextmanager
def pods(prefix: str, image: str, models: Path, names: Names | None = None) -> Iterator[Pods]:
    """A network; at the end it goes, with all containers in it. They ask `names`, or podman's own name server."""
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "containers.conf"
        configuration.write_text(os.environ.get("TRUNKLINE_CONTAINERS_CONF", _CONFIGURATION))
        made = Pods(prefix, image, models, configuration, names)
        # Otherwise its name server asks others about IPv6, which cannot be reached here: each look-up took 11 s.
        made.podman("network", "create", "--disable-dns" if names else "--internal", made.network)
        try:
            yield made
        finally:
            if left := made.all():
                made.remove(*left)
            made.podman("network", "rm", "--force", made.network)
