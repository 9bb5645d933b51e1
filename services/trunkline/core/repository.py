"""The model repository: a folder of bundles, `<root>/<backbones|heads>/<name>/<version>/`."""

import re
from pathlib import Path

from trunkline.core.bundle import (
    KIND_FOLDERS,
    MANIFEST_FILE,
    NAME_PATTERN,
    BackboneManifest,
    Bundle,
    HeadManifest,
    read_bundle,
)
from trunkline.core.errors import ConfigurationError, ModelInvalidError, NotFoundError
from trunkline.core.text import listed


class Repository:
    """Finds bundles. A folder without a manifest is no bundle: one that is being written is never seen."""

    def __init__(self, root: Path) -> None:
        """Raises ConfigurationError where there is no such folder."""
        if not root.is_dir():
            raise ConfigurationError(
                f"there is no model folder {root}: name one with --models DIR or TRUNKLINE_MODELS=DIR"
            )
        self.root = root

    def backbone(self, name: str, version: int | None = None) -> Bundle[BackboneManifest]:
        """A backbone bundle; the highest version where none is named. Raises NotFoundError, ModelInvalidError."""
        bundle = self._read("backbone", name, version)
        if not isinstance(bundle.manifest, BackboneManifest):
            raise ModelInvalidError(f"{bundle.path} is not a backbone")
        return Bundle(bundle.path, bundle.manifest)

    def head(self, name: str, version: int | None = None) -> Bundle[HeadManifest]:
        """A head bundle; the highest version where none is named. Raises NotFoundError, ModelInvalidError."""
        bundle = self._read("head", name, version)
        if not isinstance(bundle.manifest, HeadManifest):
            raise ModelInvalidError(f"{bundle.path} is not a head")
        return Bundle(bundle.path, bundle.manifest)

    def names(self, kind: str) -> list[str]:
        """Names of all models of a kind, "backbone" or "head", in order."""
        folder = self.root / KIND_FOLDERS[kind]
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.iterdir() if self._has_versions(kind, path.name))

    def _has_versions(self, kind: str, name: str) -> bool:
        """A folder that cannot be looked into hides no other: whoever asks for this model hears of it."""
        try:
            return bool(self.versions(kind, name))
        except OSError:
            return True

    def folders(self, kind: str) -> list[str]:
        """Names of the folders of a kind, in order, whatever is in them: one listing, and no look into any."""
        try:
            return sorted(path.name for path in (self.root / KIND_FOLDERS[kind]).iterdir() if _is_name(path.name))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def versions(self, kind: str, name: str) -> list[int]:
        """Versions of a model, in order; empty where there is none."""
        folder = self.root / KIND_FOLDERS[kind] / name
        if not _is_name(name) or not folder.is_dir():
            return []
        return sorted(
            int(path.name)
            for path in folder.iterdir()
            if re.fullmatch("[1-9][0-9]{0,17}", path.name) and (path / MANIFEST_FILE).exists()
        )

    def _read(self, kind: str, name: str, version: int | None) -> Bundle[BackboneManifest] | Bundle[HeadManifest]:
        bundle = read_bundle(self._version_folder(kind, name, version))
        manifest, path = bundle.manifest, bundle.path
        if (manifest.name, str(manifest.version)) != (path.parent.name, path.name):
            raise ModelInvalidError(
                f"{path / MANIFEST_FILE} is of {manifest.name!r} version {manifest.version}: "
                "the folder was copied or renamed without its manifest"
            )
        return bundle

    def _version_folder(self, kind: str, name: str, version: int | None) -> Path:
        versions = self.versions(kind, name)
        if not versions:
            known = listed(self.names(kind))
            raise NotFoundError(f"there is no {kind} {name!r} in {self.root}; known: {known}", name=name)
        if version is not None and version not in versions:
            raise NotFoundError(f"{kind} {name!r} has no version {version}; known: {versions}", name=name)
        return self.root / KIND_FOLDERS[kind] / name / str(versions[-1] if version is None else version)


def _is_name(name: str) -> bool:
    return re.fullmatch(NAME_PATTERN, name) is not None
