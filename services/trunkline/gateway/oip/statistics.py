"""How often each version of a model was asked since the start, and where the time went."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.gateway.oip.model import Item

_NS_PER_MS = 1_000_000
_Key = tuple[str, str]  # name, version


class Statistics:
    """Counts in the memory of this process. Only versions that are served are counted, so it stays small."""

    def __init__(self) -> None:
        self._by_version: dict[_Key, pb.ModelStatistics] = defaultdict(pb.ModelStatistics)

    def answered(self, name: str, items: Sequence[Item], total_ns: int, output_ns: int) -> None:
        """A request with these items took total_ns, of which output_ns went into the tensors of the response."""
        kept = self._of(name, items[0].version)
        kept.last_inference = time.time_ns() // _NS_PER_MS
        kept.inference_count += len(items)
        kept.execution_count += len(items)
        stats = kept.inference_stats
        _add(stats.success, 1, total_ns)
        _add(stats.queue, len(items), _ns(item.queue_ms for item in items))
        _add(stats.compute_input, len(items), _ns(item.decode_ms for item in items))
        _add(stats.compute_infer, len(items), _ns(item.infer_ms for item in items))
        _add(stats.compute_output, 1, output_ns)

    def failed(self, name: str, version: str, total_ns: int) -> None:
        """A request that a served version could not answer."""
        _add(self._of(name, version).inference_stats.fail, 1, total_ns)

    def of(self, name: str, version: str) -> pb.ModelStatistics:
        """Zeros where it was not asked yet."""
        found = pb.ModelStatistics(name=name, version=version, inference_stats=pb.InferStatistics())
        kept = self._by_version.get((name, version))
        if kept is not None:
            found.MergeFrom(kept)
        return found

    def _of(self, name: str, version: str) -> pb.ModelStatistics:
        return self._by_version[name, version]


def _ns(times_ms: Iterable[float]) -> int:
    return int(sum(times_ms) * _NS_PER_MS)


def _add(duration: pb.StatisticDuration, count: int, ns: int) -> None:
    duration.count += count
    duration.ns += ns
