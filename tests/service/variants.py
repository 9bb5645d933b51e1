"""A head under a further spec, made without measuring: what it loses is stated by the test."""

import shutil
from pathlib import Path

from trunkline.catalog.catalog import Catalog
from trunkline.core.bundle import MANIFEST_FILE, Bundle, HeadManifest
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.publishing import manifest_text
from trunkline.core.repository import Repository
from trunkline.core.variants import Agreement
from trunkline.training.variants.files import add_variant


def repository_with(models: Path, folder: Path, *heads: str) -> Path:
    """A repository whose heads can be given further versions; their files are those of `models`."""
    shutil.copytree(models / "backbones", folder / "backbones", symlinks=True)
    for head in heads:
        shutil.copytree(models / "heads" / head, folder / "heads" / head)
    return folder


def add_version(models: Path, name: str, spec: PreprocessSpec, points: float, example: Path) -> HeadManifest:
    """The next version of a head, with its net as it is under a further spec; it becomes the default."""
    repository = Repository(models)
    before = repository.head(name)
    version = before.manifest.version + 1
    path = models / "heads" / name / str(version)
    shutil.copytree(before.path, path, ignore=shutil.ignore_patterns(MANIFEST_FILE, "variant-*"))
    backbone = repository.backbone(before.manifest.backbone.name)
    variant, _ = add_variant(Bundle(path, before.manifest), spec, backbone, example.read_bytes(), None)
    metrics = {metric: value - points / 100 for metric, value in before.manifest.metrics.items()}
    agreement = None if metrics else Agreement(share=1 - points / 100, count=9, data="none")
    stated = variant.model_copy(update={"metrics": metrics, "agreement": agreement})
    manifest = before.manifest.model_copy(update={"version": version, "variants": (stated,)})
    (path / MANIFEST_FILE).write_text(manifest_text(manifest))
    Catalog(models).promote(name, version, force=True)
    return manifest
