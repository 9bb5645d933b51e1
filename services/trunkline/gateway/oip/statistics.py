"""How often each version of a model was asked since the start, and where the time went."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.gateway.oip.model import Item

_NS_PER_MS = 1_000_000
_Key = tuple[str, str]  # name, version


@dataclass(slots=True)
class _Counts:
    """Of a version: requests, pictures, and milliseconds. Plain, as every request adds to it."""

    answered: int = 0
    failed: int = 0
    pictures: int = 0
    last_ms: int = 0  # Unix time
    answered_ns: int = 0
    failed_ns: int = 0
    output_ns: int = 0
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    infer_ms: float = 0.0


class Statistics:
    """Counts in the memory of this process. Only versions that are served are counted, so it stays small."""

    def __init__(self) -> None:
        self._by_version: dict[_Key, _Counts] = defaultdict(_Counts)

    def answered(self, name: str, items: Sequence[Item], total_ns: int, output_ns: int) -> None:
        """A request with these items took total_ns, of which output_ns went into the tensors of the response."""
        kept = self._by_version[name, items[0].version]
        kept.last_ms = time.time_ns() // _NS_PER_MS
        kept.answered += 1
        kept.answered_ns += total_ns
        kept.output_ns += output_ns
        for item in items:
            kept.pictures += 1
            kept.queue_ms += item.queue_ms
            kept.decode_ms += item.decode_ms
            kept.infer_ms += item.infer_ms

    def failed(self, name: str, version: str, total_ns: int) -> None:
        """A request that a served version could not answer."""
        kept = self._by_version[name, version]
        kept.failed += 1
        kept.failed_ns += total_ns

    def of(self, name: str, version: str) -> pb.ModelStatistics:
        """Zeros where it was not asked yet."""
        kept = self._by_version.get((name, version), _Counts())
        return pb.ModelStatistics(
            name=name,
            version=version,
            last_inference=kept.last_ms,
            inference_count=kept.pictures,
            execution_count=kept.pictures,
            inference_stats=pb.InferStatistics(
                success=pb.StatisticDuration(count=kept.answered, ns=kept.answered_ns),
                fail=pb.StatisticDuration(count=kept.failed, ns=kept.failed_ns),
                queue=_duration(kept.pictures, kept.queue_ms),
                compute_input=_duration(kept.pictures, kept.decode_ms),
                compute_infer=_duration(kept.pictures, kept.infer_ms),
                compute_output=pb.StatisticDuration(count=kept.answered, ns=kept.output_ns),
            ),
        )


def _duration(count: int, total_ms: float) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=int(total_ms * _NS_PER_MS))
