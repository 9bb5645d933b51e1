"""Tensor messages whose numbers are in shared memory."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from trunkline.api.inference.v1 import tensor_pb2
from trunkline.serving import wire
from trunkline.serving.shared.layout import Region
from trunkline.serving.shared.reader import ArenaReader
from trunkline.serving.shared.writer import Arena

MIN_BYTES = 64 * 1024  # below, sending costs no more than sharing (benchmarks/features.py)


def share(arrays: Mapping[str, np.ndarray], arena: Arena, lease_s: float) -> dict[str, tensor_pb2.Tensor]:
    """Messages for arrays: the large ones in one block of the arena, inline where it has no room."""
    large = {name: array for name, array in arrays.items() if array.nbytes >= MIN_BYTES}
    regions = arena.write(list(large.values()), lease_s) if large else None
    if regions is None:
        return wire.tensors_to_pb(arrays)
    shared = {name: _message(array, region) for (name, array), region in zip(large.items(), regions, strict=True)}
    return shared | wire.tensors_to_pb({name: array for name, array in arrays.items() if name not in large})


@contextmanager
def unchanged(tensors: Iterable[tensor_pb2.Tensor], reader: ArenaReader | None) -> Iterator[None]:
    """Use the numbers of these messages within.

    Raises FeaturesGoneError in the end where shared ones were overwritten meanwhile, also in the place of an error
    that came of that.
    """
    regions = [wire.region_of(tensor) for tensor in tensors if tensor.HasField("shared")]
    try:
        yield
    except Exception:
        _check(regions, reader)
        raise
    _check(regions, reader)


def _check(regions: list[Region], reader: ArenaReader | None) -> None:
    if reader is not None:
        reader.check(regions)


def _message(array: np.ndarray, region: Region) -> tensor_pb2.Tensor:
    message = wire.shape_to_pb(array)
    message.shared.CopyFrom(tensor_pb2.SharedRegion(**vars(region)))
    return message
