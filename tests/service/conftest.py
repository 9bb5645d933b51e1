"""One process, or one of each service, with everything that there is to watch it switched on."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Server, free_port, start_server
from tests.service.otlp import Receiver, receiver
from tests.service.two_backbones import export_tiny, store_of_both


@dataclass(frozen=True)
class Watched:
    """`roles` are the roles in its logs, `metrics` the addresses of metrics by role; traces go to `otlp`."""

    server: Server
    split: bool
    roles: set[str]
    metrics: dict[str, str]
    otlp: Receiver


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a second backbone."""
    return export_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def store(models: Path, tiny: Path, tmp_path: Path) -> Path:
    """A repository with two backbones, and heads on both."""
    return store_of_both(models, tiny, tmp_path)


@pytest.fixture(scope="session")
def otlp() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture(scope="session", params=[(), ("--split",)], ids=["all in one", "split"])
def watched_processes(
    request: pytest.FixtureRequest, otlp: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    split = bool(request.param)
    environment = {
        "TRUNKLINE_HEADS": "imagenet,flowers102",
        "TRUNKLINE_LOG_FORMAT": "json",
        "TRUNKLINE_ACCESS_LOG": "true",
        # Each form is told in one of the two ways.
        "TRUNKLINE_OTEL_ENDPOINT" if split else "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    shown = ["gateway", "backbone", "head", "catalog"] if split else ["all-in-one"]
    for _ in range(5):  # the ports above a free one are free most of the time
        with ExitStack() as stack:
            port = free_port()
            where = ("--metrics-address", f"127.0.0.1:{port}")
            log = tmp_path_factory.mktemp("watched") / "log"
            server = stack.enter_context(start_server(log, *request.param, *where, **environment))
            if "no metrics" in server.log:
                continue
            metrics = {role: f"127.0.0.1:{port + number}" for number, role in enumerate(shown)}
            yield Watched(server, split, set(shown[:3]) if split else {"trunkline"}, metrics, otlp)
            return
    pytest.fail("no free ports in a row")
