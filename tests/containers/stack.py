"""The split form in containers: each service behind one name in DNS with as many replicas as are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.containers.pods import PORT, Pods
from tests.service.scrape import Scrape, get

TASKS = ("classification", "regression")
_GATEWAY = {
    "TRUNKLINE_BACKBONE_ADDRESS": f"dns:///backbone:{PORT}",
    "TRUNKLINE_HEAD_ADDRESSES": ",".join(f"dns:///head-{task}:{PORT}" for task in TASKS),
    "TRUNKLINE_CATALOG_ADDRESS": f"dns:///catalog:{PORT}",
    "TRUNKLINE_TRAINING_ADDRESS": f"dns:///training:{PORT}",
    "TRUNKLINE_TRAINING_JOBS": "0",
    "TRUNKLINE_GALLERY_DATABASE": "",
}
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "backbone": ("serve", "backbone"),
    **{f"head-{task}": ("serve", "head", "--task", task) for task in TASKS},
    "catalog": ("serve", "catalog"),
    "gateway": ("serve", "gateway"),
}
EXTRACT = "trunkline.api.inference.v1.BackboneService/ExtractFeatures"


@dataclass
class Stack:
    """The running containers, by service, the oldest first."""

    pods: Pods
    environment: Mapping[str, str] = field(default_factory=dict)
    running: dict[str, list[str]] = field(default_factory=dict)

    def add(self, service: str, **options: object) -> str:
        """One more replica; it has been started, and is not ready yet."""
        values = {**(_GATEWAY if service == "gateway" else {}), **self.environment}
        name = self.pods.start(service, *COMMANDS[service], environment=values, **options)  # type: ignore[arg-type]
        self.running.setdefault(service, []).append(name)
        return name

    def replace(self, service: str) -> None:
        """As a rolling update does with maxSurge 1 and maxUnavailable 0: each new one is ready before an old one goes."""
        for old in list(self.running[service]):
            self.pods.wait_serving(self.add(service))
            self.end(service, old)

    def end(self, service: str, name: str) -> None:
        """Stop a container, which must end by itself and well."""
        status = self.pods.stop(name)
        assert status == 0, f"{name} ended with {status}: {self.pods.logs(name)}"
        self.forget(service, name)

    def forget(self, service: str, name: str) -> None:
        self.pods.remove(name)
        self.running[service].remove(name)

    def scrape(self, name: str) -> Scrape:
        return Scrape(get(self.pods.metrics(name), "/metrics")[1])

    def passes(self) -> dict[str, float]:
        """For each backbone container, the calls for features that it has begun."""
        return {
            name: self.scrape(name).value("grpc_server_call_started_total", grpc_method=EXTRACT)
            for name in self.running["backbone"]
        }


@contextmanager
def stack(
    pods: Pods, replicas: Mapping[str, int], without: Sequence[str] = (), **environment: str
) -> Iterator[Stack]:
    """Every service, one replica where `replicas` does not say more, all ready; the containers go at the end."""
    made = Stack(pods, environment)
    try:
        names = [
            made.add(service)
            for service in COMMANDS
            if service not in without
            for _ in range(replicas.get(service, 1))
        ]
        pods.wait_serving(*names)
        yield made
    finally:
        if left := [name for names in made.running.values() for name in names]:
            pods.remove(*left)
