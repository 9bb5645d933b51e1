"""What a process shows of its parts at each scrape."""

from trunkline.core.errors import ServiceUnavailableError
from trunkline.gateway.directory import Directory
from trunkline.serving.host import Host
from trunkline.serving.telemetry import catalogue
from trunkline.serving.workers import WorkerPool


def observe_workers(host: Host, workers: WorkerPool) -> None:
    """The queue of this process."""
    host.telemetry.read(catalogue.WORK_HELD, lambda: workers.held)
    host.telemetry.read(catalogue.QUEUE_DEPTH, lambda: workers.waiting)
    host.telemetry.read(catalogue.WORK_LIMIT, lambda: workers.limit)


def observe_directory(host: Host, directory: Directory) -> None:
    """Backbone and heads as a gateway knows them."""
    host.telemetry.read(catalogue.HEAD_INFO, lambda: _heads(directory))
    host.telemetry.read(
        catalogue.HEAD_READY, lambda: {(name,): float(ready) for name, ready in directory.answering().items()}
    )
    host.telemetry.read(catalogue.BACKBONE_INFO, lambda: _backbone(directory))


def _heads(directory: Directory) -> dict[tuple[str, ...], float]:
    return {(info.name, info.version, info.task, info.backbone): 1.0 for info in directory.heads()}


def _backbone(directory: Directory) -> dict[tuple[str, ...], float]:
    try:
        info = directory.backbone
    except ServiceUnavailableError:
        return {}
    return {(info.name, info.version): 1.0}
