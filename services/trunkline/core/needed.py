"""Which backbones the heads of a repository need."""

from collections.abc import Sequence
from pathlib import Path

from trunkline.core.bundle import KIND_FOLDERS, MANIFEST_FILE, BackboneRef
from trunkline.core.catalog import current_catalog
from trunkline.core.errors import TrunklineError
from trunkline.core.repository import Repository

Signature = tuple[int, int, int] | None


class NeededBackbones:
    """The backbones of all versions of heads that calls can reach. A manifest is read again when its file changed."""

    def __init__(self, repository: Repository, heads: Sequence[str] = ()) -> None:
        """heads: those that count; all where empty."""
        self._repository = repository
        self._heads = heads
        self._known: dict[Path, tuple[Signature, BackboneRef | None]] = {}

    def look(self) -> set[BackboneRef]:
        """A head whose catalog or manifest cannot be used needs none. Raises OSError where the folder is away."""
        needed: dict[Path, tuple[Signature, BackboneRef | None]] = {}
        for name in self._repository.folders("head"):
            if name in (self._heads or (name,)):
                for version in self._in_use(name):
                    file = self._repository.root / KIND_FOLDERS["head"] / name / str(version) / MANIFEST_FILE
                    needed[file] = self._ref(file, name, version)
        self._known = needed
        return {ref for _, ref in needed.values() if ref is not None}

    def _in_use(self, name: str) -> Sequence[int]:
        try:
            return current_catalog(self._repository.root, name).in_use
        except TrunklineError:  # as for its versions: whoever serves the head says what is wrong
            return self._repository.versions("head", name)[-1:]

    def _ref(self, file: Path, name: str, version: int) -> tuple[Signature, BackboneRef | None]:
        files = signature(file)
        known = self._known.get(file)
        if known is not None and known[0] == files:
            return known
        try:
            return files, self._repository.head(name, version).manifest.backbone
        except TrunklineError:
            return files, None


def signature(file: Path) -> Signature:
    """Changes whenever the file does: (inode, mtime in ns, size), None where there is none. Raises OSError."""
    try:
        stat = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
