"""What a process shows of its parts at each scrape."""

from collections.abc import Iterable, Mapping
from typing import Any

from trunkline.backbone.batching import BatchStats
from trunkline.backbone.cache import CacheStats
from trunkline.gateway.directory import Directory
from trunkline.serving.host import Host
from trunkline.serving.telemetry import catalogue
from trunkline.serving.workers import WorkerPool

_REFUSED = ("full", "late", "over", "pressure", "evicted")


def observe_workers(host: Host, workers: WorkerPool) -> None:
    """The queue of this process."""
    host.telemetry.read(catalogue.WORK_HELD, lambda: workers.held)
    host.telemetry.read(catalogue.QUEUE_DEPTH, lambda: workers.waiting)
    host.telemetry.read(catalogue.WORK_LIMIT, lambda: workers.limit)

    host.telemetry.read(catalogue.WORK_REFUSED, lambda: _by_label(workers.stats.refused, _REFUSED))


def observe_backbones(host: Host, cache: CacheStats, batches: BatchStats) -> None:
    """What spared passes, or shared them; all 0 where that is off."""
    host.telemetry.read(
        catalogue.CACHE_REQUESTS,
        lambda: {("hit",): float(cache.hits), ("joined",): float(cache.joined), ("miss",): float(cache.misses)},
    )
    host.telemetry.read(catalogue.CACHE_BYTES, lambda: cache.bytes)
    host.telemetry.read(catalogue.CACHE_EVICTED, lambda: cache.evicted)
    host.telemetry.read(catalogue.BATCHES, lambda: _by_label(batches.closed, ("full", "wait", "deadline")))
    host.telemetry.read(catalogue.BATCH_SIZES, lambda: _by_label(batches.sizes, (1,)))


def observe_directory(host: Host, directory: Directory) -> None:
    """Backbones and heads as a gateway knows them."""
    host.telemetry.read(catalogue.HEAD_INFO, lambda: _heads(directory))
    host.telemetry.read(
        catalogue.HEAD_READY, lambda: {(name,): float(ready) for name, ready in directory.answering().items()}
    )
    host.telemetry.read(catalogue.BACKBONE_INFO, lambda: _backbones(directory))


def _by_label(counts: Mapping[Any, int], known: Iterable[Any]) -> dict[tuple[str, ...], float]:
    """`known` labels are there from the start, so that the first of a kind is seen as a rise."""
    return {(str(label),): float(count) for label, count in (dict.fromkeys(known, 0) | dict(counts)).items()}


def _heads(directory: Directory) -> dict[tuple[str, ...], float]:
    return {(info.name, info.version, info.task, info.backbone): 1.0 for info in directory.heads()}


def _backbones(directory: Directory) -> dict[tuple[str, ...], float]:
    return {(entry.info.name, entry.info.version): 1.0 for entry in directory.backbones()}
