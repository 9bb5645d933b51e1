"""The reading side: arenas mapped once, regions as arrays without a copy, checked before and after their use."""

import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trunkline.core.errors import FeaturesGoneError
from trunkline.serving.shared.files import SUFFIX, ids_in, is_id
from trunkline.serving.shared.layout import HEADER_BYTES, Layout, Region


class ArenaReader:
    """The arenas of a folder, read-only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mapped: dict[str, _Mapped] = {}

    def ids(self) -> list[str]:
        """Arenas that can be read now. Those whose file is gone are let go of."""
        there = ids_in(self._folder)
        self._mapped = {name: mapped for name in there if (mapped := self._find(name)) is not None}
        return list(self._mapped)

    def view(self, region: Region) -> np.ndarray:
        """The bytes of a region, uint8 (length,): a view, to be trusted only if check() passes after its last use.

        Raises FeaturesGoneError where they are not there, InvalidRequestError where they cannot be.
        """
        mapped = self._get(region)
        mapped.check(region)
        return mapped.data[region.offset : region.offset + region.length]

    def check(self, regions: Iterable[Region]) -> None:
        """Raises FeaturesGoneError where one of these has been overwritten since, so what was made of it is void."""
        for region in regions:
            self._get(region).check(region)

    def _get(self, region: Region) -> "_Mapped":
        mapped = self._find(region.arena)
        if mapped is None:
            # The id stands in the metadata, so that the gateway shares no more of it with this process.
            raise FeaturesGoneError("this process cannot read the shared features: ask again", arena=region.arena)
        return mapped

    def _find(self, name: str) -> "_Mapped | None":
        mapped = self._mapped.get(name)
        if mapped is None and is_id(name):
            mapped = _open(self._folder / f"{name}{SUFFIX}")
            if mapped is not None:
                self._mapped[name] = mapped
        return mapped


class _Mapped:
    """One arena in the memory of this process."""

    def __init__(self, file: int) -> None:
        """Raises OSError or ValueError for a file that is no arena."""
        size = os.fstat(file).st_size
        self._layout = Layout.read(os.pread(file, HEADER_BYTES, 0), size)
        memory = mmap.mmap(file, size, prot=mmap.PROT_READ)
        self._generations = np.frombuffer(
            memory, "<u8", self._layout.chunks, self._layout.generations_at
        )  # (chunks,)
        self.data = np.frombuffer(memory, np.uint8, offset=self._layout.data_at)  # (chunks * CHUNK_BYTES,)

    def check(self, region: Region) -> None:
        """Raises FeaturesGoneError where the region's block is not there, or no longer."""
        shown = self._generations[region.chunks(self._layout)]
        if not (shown == region.generation).all():
            raise FeaturesGoneError("the shared features were overwritten: ask again")


def _open(path: Path) -> _Mapped | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _Mapped(file)
    except (OSError, ValueError):
        return None
    finally:
        os.close(file)
