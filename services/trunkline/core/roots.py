"""The folders below which training and evaluation may read."""

import os
from collections.abc import Sequence
from typing import Final

from trunkline.core.errors import DataForbiddenError
from trunkline.core.text import shown

SETTING: Final = "TRUNKLINE_TRAINING_DATA_ROOTS"
ANYWHERE: Final = ("/",)


class DataRoots:
    """Links and dots are resolved, in the folders now and in a path when it is asked about."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = tuple(os.path.realpath(folder) for folder in folders)

    def hold(self, path: str) -> bool:
        """Whether the path lies in one of the folders, or is one. Nothing needs to be there."""
        try:
            real = os.path.realpath(path)
        except (OSError, ValueError):  # a name that no file can have
            return False
        return any(real == folder or real.startswith(folder.rstrip("/") + "/") for folder in self._folders)

    def require(self, path: str) -> None:
        """Raises DataForbiddenError for a path outside, with the same words whether something is there or not."""
        if not self._folders:
            raise DataForbiddenError(
                f"no data may be read for callers from the network: set {SETTING} to the folders with data, where "
                "the training service runs",
                setting=SETTING,
            )
        if not self.hold(path):
            raise DataForbiddenError(f"{shown(path)} is not below a folder of {SETTING}", setting=SETTING)
