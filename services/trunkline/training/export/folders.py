"""Versions of a model on disk: which is free, building one aside, moving it into place whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trunkline.core.bundle import (
    CARD_FILE,
    KIND_FOLDERS,
    LABELS_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    BackboneManifest,
    HeadManifest,
    write_golden,
)
from trunkline.core.catalog import note_published, pin_default
from trunkline.core.errors import ConfigurationError, InvalidRequestError, StorageError
from trunkline.core.staging import STAGING_PREFIX, held


@dataclass(frozen=True)
class BundleContent:
    """All that one bundle folder holds. golden: inputs and outputs by name."""

    model: bytes
    manifest: BackboneManifest | HeadManifest
    golden: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]
    card: str
    labels: tuple[str, ...] = ()

    def write(self, folder: Path) -> Path:
        """Make `folder` and all files in it. Returns the folder."""
        folder.mkdir()
        (folder / MODEL_FILE).write_bytes(self.model)
        (folder / MANIFEST_FILE).write_text(self.manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (folder / CARD_FILE).write_text(self.card, encoding="utf-8")
        write_golden(folder, *self.golden)
        if self.labels:
            (folder / LABELS_FILE).write_text("\n".join(self.labels) + "\n", encoding="utf-8")
        return folder


def free_version(models: Path, kind: str, name: str, wanted: int | None = None) -> int:
    """`wanted`, or the number after the highest. Raises InvalidRequestError where `wanted` is taken."""
    folder = models / KIND_FOLDERS[kind] / name
    taken = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    if wanted is None:
        return max(taken, default=0) + 1
    if wanted in taken:
        raise _exists(kind, name, wanted)
    return wanted


@contextmanager
def staging(models: Path) -> Iterator[Path]:
    """A folder inside `models`, on the same file system, gone afterwards with all that is still in it.

    Raises ConfigurationError where `models` cannot be written.
    """
    made = not models.exists()
    try:
        models.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=models))
    except OSError as error:
        raise ConfigurationError(f"the model folder {models} cannot be written: {error.strerror}") from error
    try:
        with held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made:
            _remove_empty(models)


def move_into_place(models: Path, bundles: Sequence[tuple[Path, BackboneManifest | HeadManifest]]) -> list[Path]:
    """Move built folders to their versions: all of them, or none. Returns the new folders.

    The first version of a head becomes its default; a later one waits to be promoted.
    Raises InvalidRequestError where another process took a version in the meantime, ModelInvalidError and
    StorageError where the catalog of a head is damaged or cannot be written.
    """
    moved: list[tuple[Path, Path]] = []
    heads = [manifest for _, manifest in bundles if manifest.kind == "head"]
    for head in heads:
        pin_default(models, head.name)  # before, as services may look at any time
    for folder, manifest in bundles:
        target = models / KIND_FOLDERS[manifest.kind] / manifest.name / str(manifest.version)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, target)  # noqa: PTH104 - Path.rename promises less: this fails on a folder with files
        except OSError as error:
            _undo(moved)
            _remove_empty(target.parent)
            raise _exists(manifest.kind, manifest.name, manifest.version) from error
        moved.append((folder, target))
    for head in heads:
        with suppress(StorageError):  # published is published, and without the file the default is the same
            note_published(models, head.name, head.version)
    return [target for _, target in moved]


def _undo(moved: Sequence[tuple[Path, Path]]) -> None:
    for folder, target in moved:
        target.rename(folder)
        _remove_empty(target.parent)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _exists(kind: str, name: str, version: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"{kind} {name} version {version} exists, and versions are never overwritten: "
        "leave --version out for the next free one"
    )
