"""Putting versions into a model folder: which number is free, moving what was built into place, whole."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from trunkline.core.bundle import CARD_FILE, KIND_FOLDERS, MANIFEST_FILE, BackboneManifest, HeadManifest
from trunkline.core.catalog import note_published, pin_default
from trunkline.core.errors import InvalidRequestError, StorageError

Manifest: TypeAlias = BackboneManifest | HeadManifest
Built: TypeAlias = tuple[Path, Manifest]  # a folder with all files of a bundle, and what its manifest.json says


def free_version(models: Path, kind: str, name: str, wanted: int | None = None) -> int:
    """`wanted`, or the number after the highest. Raises InvalidRequestError where `wanted` is taken."""
    folder = models / KIND_FOLDERS[kind] / name
    taken = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    if wanted is None:
        return max(taken, default=0) + 1
    if wanted in taken:
        raise version_exists(kind, name, wanted)
    return wanted


def move_into_place(models: Path, bundles: Sequence[Built]) -> list[Path]:
    """Move built folders to their versions: all of them, or none. Returns the new folders.

    A head whose version was taken by another process in the meantime gets the next free one; a backbone does not, as
    heads refer to it by its version. The first version of a head becomes its default; a later one waits to be
    promoted. Raises InvalidRequestError where the version of a backbone is taken, ModelInvalidError and StorageError
    where the catalog of a head is damaged or the folder cannot be written.
    """
    moved: list[tuple[Path, Path]] = []
    try:
        for folder, manifest in bundles:
            moved.append((folder, _place(models, folder, manifest)))
    except BaseException:
        for folder, target in moved:
            target.rename(folder)
            remove_empty(target.parent)
        raise
    targets = [target for _, target in moved]
    for target, (_, manifest) in zip(targets, bundles, strict=True):
        if manifest.kind == "head":
            with suppress(StorageError):  # published is published, and without the file the default is the same
                note_published(models, manifest.name, int(target.name))
    return targets


def renumber(folder: Path, manifest: Manifest, version: int) -> Manifest:
    """Make a built folder another version: in its manifest and in the title of its card. Returns the manifest."""
    changed = manifest.model_copy(update={"version": version})
    (folder / MANIFEST_FILE).write_text(manifest_text(changed), encoding="utf-8")
    card = folder / CARD_FILE
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    if text.startswith(card_title(manifest) + "\n"):
        card.write_text(card_title(changed) + text.removeprefix(card_title(manifest)), encoding="utf-8")
    return changed


def manifest_text(manifest: Manifest) -> str:
    """What manifest.json holds."""
    return manifest.model_dump_json(indent=2) + "\n"


def card_title(manifest: Manifest) -> str:
    """The first line of a card."""
    return f"# {manifest.name}, version {manifest.version}"


def remove_empty(folder: Path) -> None:
    """Remove a folder if nothing is in it."""
    with suppress(OSError):
        folder.rmdir()


def version_exists(kind: str, name: str, version: int) -> InvalidRequestError:
    """The error for a version that is taken."""
    return InvalidRequestError(
        f"{kind} {name} version {version} exists, and versions are never overwritten: "
        "leave --version out for the next free one"
    )


def _place(models: Path, folder: Path, manifest: Manifest) -> Path:
    while True:
        target = models / KIND_FOLDERS[manifest.kind] / manifest.name / str(manifest.version)
        if manifest.kind == "head":
            pin_default(models, manifest.name)  # before, as services may look at any time
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, target)  # noqa: PTH104 - Path.rename promises less: this fails on a folder with files
        except OSError as error:
            taken = target.exists()
            remove_empty(target.parent)
            if not taken:
                raise StorageError(f"{target} cannot be written: {error.strerror}") from error
            if manifest.kind != "head":
                raise version_exists(manifest.kind, manifest.name, manifest.version) from error
            manifest = renumber(folder, manifest, free_version(models, "head", manifest.name))
        else:
            return target
