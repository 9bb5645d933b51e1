"""A repository with the shipped backbone and a second, tiny one, and heads on both whose answers are known."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.service.bundles import add_regression_head, linked_repository
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.serving.session import load_session

TINY, LARGE = "tiny", "efficientnet-lite0"
_CHANNELS = {TINY: 96, LARGE: 1280}  # of pooled
_TARGETS = [{"name": "sum", "unit": "", "kind": "number", "low": -1e9, "high": 1e9}]


def export_tiny(folder: Path) -> Path:
    """A tiny ResNet with random weights, as `trunkline backbone export` makes it: the folder of its versions."""
    pytest.importorskip("timm", reason="needs the train extra: pip install -e '.[train]'")
    from trunkline.training.export import ExportRequest, export_backbone

    request = ExportRequest(architecture="timm/test_resnet", weights="none", name=TINY)
    return export_backbone(request, folder, lambda _: None).backbone.parent


def store_of_both(models: Path, tiny: Path, folder: Path) -> Path:
    """Heads `on-large` and `on-tiny` on the features `pooled` of their backbones, and imagenet."""
    store = linked_repository(models, folder)
    add_backbone(store, tiny)
    add_head(store, "on-large", LARGE)
    add_head(store, "on-tiny", TINY)
    return store


def add_backbone(store: Path, tiny: Path) -> None:
    shutil.copytree(tiny, store / "backbones" / TINY)


def add_head(store: Path, name: str, backbone: str, version: int = 1) -> None:
    """A head whose value is the sum of `pooled`, plus 1000 for each version."""
    weights = np.ones((_CHANNELS[backbone], 1), np.float32)
    bias = [1000.0 * version]
    add_regression_head(store, name, _TARGETS, weights, bias, backbone=backbone, version=version)


def known_value(store: Path, name: str, photo: Path, version: int = 1) -> float:
    """The answer of a head, computed without any service."""
    head = Repository(store).head(name, version).manifest
    pixels, _ = preprocess(EncodedImage(photo.read_bytes()), head.preprocess)
    backbone = Repository(store).backbone(head.backbone.name)
    pooled = load_session(backbone).run({"image": pixels}, ["pooled"])["pooled"]
    return float(pooled.sum()) + 1000.0 * version
