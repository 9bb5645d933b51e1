"""Blocks of shared memory whose features pass through the gateway: held while anybody has them, then given back."""

import functools
import weakref
from collections import deque
from collections.abc import Callable, Iterable

from trunkline.api.inference.v1 import tensor_pb2

_MOST_KEPT = 4096  # those that are forgotten are free again when their lease ends


class HeldBlock:
    """A block that features of this process are in."""

    def __init__(self, tell: Callable[[], object]) -> None:
        """tell: what to do once, when it is released or nothing refers to it any more."""
        self._finalizer = weakref.finalize(self, tell)
        self._finalizer.atexit = False

    def release(self) -> None:
        self._finalizer()


class Blocks:
    """Knows which blocks the backbone may use again. To tell it costs no call: they go along with the next one.

    Whatever becomes of a request, its features are dropped in the end, so one that no path releases is no leak.
    """

    def __init__(self) -> None:
        self._released: deque[tensor_pb2.SharedBlock] = deque(maxlen=_MOST_KEPT)

    def hold(self, tensors: Iterable[tensor_pb2.Tensor]) -> HeldBlock | None:
        """What the features of one pass must keep a reference to; None where none of them is shared."""
        region = next((tensor.shared for tensor in tensors if tensor.HasField("shared")), None)
        if region is None:
            return None
        block = tensor_pb2.SharedBlock(arena=region.arena, generation=region.generation)
        return HeldBlock(functools.partial(self._released.append, block))

    def take_released(self) -> list[tensor_pb2.SharedBlock]:
        """Blocks released since this was last asked."""
        taken = []
        while self._released:
            taken.append(self._released.popleft())
        return taken
