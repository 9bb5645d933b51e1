"""The split form in containers: each service behind one name in DNS with as many replicas as are asked for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.containers.pods import Pods
from tests.service.scrape import Scrape, get


@dataclass(frozen=True)
class Component:
    """What runs, and its limits, as the chart's values have them."""

    command: tuple[str, ...]
    port: int
    memory: str
    cpus: int = 1


COMPONENTS: Mapping[str, Component] = {
    "backbone": Component(("serve", "backbone"), 8501, "1g", cpus=2),
    "head-classification": Component(("serve", "head", "--task", "classification"), 8502, "512m"),
    "head-regression": Component(("serve", "head", "--task", "regression"), 8502, "512m"),
    "catalog": Component(("serve", "catalog"), 8503, "256m"),
    "gateway": Component(("serve", "gateway"), 8500, "1g"),
}
_SETTINGS = {
    "TRUNKLINE_REQUEST_TIMEOUT_S": "30",
    "TRUNKLINE_CONNECTION_AGE_S": "60",
    "TRUNKLINE_DRAIN_PAUSE_S": "2",
    "TRUNKLINE_DRAIN_S": "20",
}
_GATEWAY = {
    "TRUNKLINE_BACKBONE_ADDRESSES": "dns:///backbone:8501",
    "TRUNKLINE_HEAD_ADDRESSES": "dns:///head-classification:8502,dns:///head-regression:8502",
    "TRUNKLINE_CATALOG_ADDRESS": "dns:///catalog:8503",
    "TRUNKLINE_TRAINING_ADDRESS": "dns:///training:8504",
    "TRUNKLINE_TRAINING_JOBS": "0",
    "TRUNKLINE_GALLERY_DATABASE": "",
    "TRUNKLINE_STARTUP_GRACE_S": "30",
}
EXTRACT = "trunkline.api.inference.v1.BackboneService/ExtractFeatures"


@dataclass
class Stack:
    """The running containers, by service, the oldest first."""

    pods: Pods
    environment: Mapping[str, str] = field(default_factory=dict)
    running: dict[str, list[str]] = field(default_factory=dict)

    def add(self, service: str, memory: str = "", *, published: bool = True, **environment: str) -> str:
        """One more replica; it has been started, and is not ready yet. published: where DNS is the test's own."""
        component = COMPONENTS[service]
        settings = {
            **_SETTINGS,
            **(_GATEWAY if service == "gateway" else {}),
            "TRUNKLINE_ADDRESS": f"0.0.0.0:{component.port}",
            "TRUNKLINE_THREADS": str(component.cpus),
            **self.environment,
            **environment,
        }
        name = self.pods.start(
            service,
            *component.command,
            port=component.port,
            memory=memory or component.memory,
            cpus=component.cpus,
            environment=settings,
        )
        self.running.setdefault(service, []).append(name)
        if self.pods.names is not None and published:
            self.pods.publish(service, name)
        return name

    def replace(self, service: str) -> None:
        """A rolling update with maxSurge 1 and maxUnavailable 0: a new one is ready before an old one goes."""
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
def stack(pods: Pods, replicas: Mapping[str, int] | None = None, **environment: str) -> Iterator[Stack]:
    """Every service, one replica where `replicas` does not say more, all ready; the containers go at the end."""
    made = Stack(pods, environment)
    try:
        names = [made.add(service) for service in COMPONENTS for _ in range((replicas or {}).get(service, 1))]
        pods.wait_serving(*names)
        yield made
    finally:
        if left := [name for names in made.running.values() for name in names]:
            pods.remove(*left)
