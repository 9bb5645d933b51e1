"""A head carried over to another backbone as it is: where its net gives the same there, or nearly so."""

import shutil
from pathlib import Path

from trunkline.core.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    BackboneManifest,
    BackboneRef,
    Bundle,
    HeadManifest,
    read_bundle,
)
from trunkline.core.exchange import IMAGE
from trunkline.core.publishing import card_title, free_version, manifest_text
from trunkline.core.staging import staging
from trunkline.core.store import FolderStore, Publish
from trunkline.core.variants import VARIANT_PREFIX
from trunkline.serving.session import load_session


def can_be_carried(head: Bundle[HeadManifest], new: BackboneManifest) -> bool:
    """Whether the head takes no feature of its backbone, or is the classifier that the backbone came with and the new
    backbone is that one in 8 bits: a classifier that came with it cannot be learned here.
    """
    manifest = head.manifest
    if manifest.features == (IMAGE,):
        return True
    came_with_it = manifest.mode == "pretrained" and manifest.origin.source != "trained by trunkline"
    return came_with_it and new.quantized_from is not None and new.quantized_from.digest == manifest.backbone.digest


def carried_over(
    head: Bundle[HeadManifest], new: BackboneManifest, models: Path, publish: Publish | None = None
) -> Path:
    """Publish the head as its next version on the new backbone. Metrics stay where nothing can change them."""
    old = head.manifest
    changed = {
        "version": free_version(models, "head", old.name),
        "backbone": BackboneRef(name=new.name, version=new.version, digest=new.digest),
    }
    if old.features != (IMAGE,):
        changed |= {"metrics": {}, "evaluation": None, "variants": ()}
    manifest = old.model_copy(update=changed)
    with staging(models) as aside:
        folder = aside / "head"
        # What was measured under further specs holds where nothing can change it, as the metrics do.
        left = shutil.ignore_patterns() if old.features == (IMAGE,) else shutil.ignore_patterns(f"{VARIANT_PREFIX}*")
        shutil.copytree(head.path, folder, ignore=left)
        (folder / MANIFEST_FILE).write_text(manifest_text(manifest), encoding="utf-8")
        (folder / CARD_FILE).write_text(_card(head, manifest), encoding="utf-8")
        load_session(read_bundle(folder))
        return (publish or FolderStore(models).publish)([(folder, manifest)])[0]


def _card(head: Bundle[HeadManifest], manifest: HeadManifest) -> str:
    before, after = head.manifest.backbone, manifest.backbone
    text = head.card.removeprefix(card_title(head.manifest)).rstrip()
    text = text.replace(
        f"backbone {before.name} version {before.version}", f"backbone {after.name} version {after.version}"
    )
    text = text.replace(before.digest, after.digest)
    return (
        f"{card_title(manifest)}{text}\n\n## Carried over\n\nThe net of version {head.manifest.version}, which was "
        f"made on {before.name} version {before.version}, as it is.\n"
    )
