"""What the passes of one call need not do twice."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from trunkline.core.preprocess import PreprocessSpec

T = TypeVar("T")


class SharedPicture:
    """What the passes of one call share: the hash of their picture, and its pixels for specs that several need.

    Who asks for pixels while another thread decodes does so too: no thread of a pass ever waits for another.
    """

    def __init__(self, specs: Iterable[PreprocessSpec]) -> None:
        self._decoded: dict[PreprocessSpec, Any] = dict.fromkeys(specs)
        self._hash = b""
        self._hashing, self._decoding = threading.Lock(), threading.Lock()

    def hash(self, compute: Callable[[], bytes]) -> bytes:
        """What compute() gives, now or before."""
        with self._hashing:
            self._hash = self._hash or compute()
        return self._hash

    def decoded(self, spec: PreprocessSpec, decode: Callable[[], T]) -> T:
        """What decode() gives, now or before. Raises what it raises."""
        found = self._decoded.get(spec)
        if found is None and spec in self._decoded and self._decoding.acquire(blocking=False):
            try:
                found = self._decoded[spec] = decode()
            finally:
                self._decoding.release()
        return decode() if found is None else cast("T", found)
