"""The port to where models are kept: a folder, or something that is mirrored in one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from trunkline.core.catalog import change_catalog
from trunkline.core.models import HeadCatalog
from trunkline.core.publishing import Built, move_into_place

ChangeState: TypeAlias = Callable[[HeadCatalog], HeadCatalog]
ChangeCatalog: TypeAlias = Callable[[str, ChangeState], HeadCatalog]
Publish: TypeAlias = Callable[[Sequence[Built]], list[Path]]


class ModelStore(Protocol):
    """Models are read from the folder `root`, and changed through the methods alone."""

    @property
    def root(self) -> Path:
        """Folder of the model repository, for reading, and for building aside what is published then."""

    @property
    def where(self) -> str:
        """What another process opens the same store with."""

    def pull(self, max_age_s: float = 0.0) -> None:
        """Bring `root` up to date, unless that was done within `max_age_s`. Raises StorageError."""

    def publish(self, bundles: Sequence[Built]) -> list[Path]:
        """As move_into_place, with the same errors."""

    def change_catalog(self, name: str, change: ChangeState) -> HeadCatalog:
        """As core.catalog.change_catalog, with the same errors."""


class FolderStore:
    """A folder, which is always up to date."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def where(self) -> str:
        return str(self.root.absolute())

    def pull(self, max_age_s: float = 0.0) -> None:
        pass

    def publish(self, bundles: Sequence[Built]) -> list[Path]:
        return move_into_place(self.root, bundles)

    def change_catalog(self, name: str, change: ChangeState) -> HeadCatalog:
        return change_catalog(self.root, name, change)
