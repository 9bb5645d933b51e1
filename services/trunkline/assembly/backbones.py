"""The backbones of a process, and what stands before them: kept features, and counts of what was shared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from trunkline.backbone.batching import BatchStats
from trunkline.backbone.cache import CacheStats, FeatureCache
from trunkline.backbone.engine import BackboneEngine
from trunkline.backbone.loaded import LoadedBackbones
from trunkline.backbone.named import Named
from trunkline.core.exchange import FeatureSource
from trunkline.core.repository import Repository
from trunkline.core.store import ModelStore
from trunkline.serving.settings import Settings
from trunkline.serving.workers import WorkerPool


@dataclass(frozen=True)
class Backbones:
    """`source` is asked; `loaded` are what is behind it, after its cache."""

    loaded: LoadedBackbones
    source: FeatureSource
    cache: CacheStats = field(default_factory=CacheStats)
    batches: BatchStats = field(default_factory=BatchStats)

    def health(self) -> dict[str, bool]:
        """By the names that health checks ask for."""
        return backbone_health({info.name: True for info in self.loaded.infos()})


def open_backbones(settings: Settings, store: ModelStore, workers: WorkerPool) -> Backbones:
    """None is loaded yet. Raises ConfigurationError for names that are none."""
    cache, batches = CacheStats(), BatchStats()
    load = partial(
        BackboneEngine.load,
        workers=workers,
        limits=settings.image_limits,
        execution=settings.execution,
        batching=settings.batches,
        batches=batches,
    )
    # A gateway may have sent a call on its way just before it heard of a change.
    grace_s = settings.request_timeout_s + 2 * settings.refresh_s
    names = [Named.parse(name) for name in settings.named_backbones]
    loaded = LoadedBackbones(Repository(store.root), names, load, grace_s)
    kept = settings.feature_cache_bytes
    source: FeatureSource = FeatureCache(loaded, kept, cache) if kept else loaded
    return Backbones(loaded, source, cache, batches)


def backbone_health(answering: Mapping[str, bool]) -> dict[str, bool]:
    return {f"backbone/{name}": answers for name, answers in answering.items()}
