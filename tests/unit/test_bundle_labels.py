"""A head with other labels than outputs is neither published nor served."""

import numpy as np
import pytest

from tests.unit.bundles import MODEL, head_manifest
from trunkline.core.bundle import HeadManifest, read_bundle
from trunkline.core.errors import ModelInvalidError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.heads.loading import FaultyHead, load_head
from trunkline.training.export.folders import BundleContent

PADDED = PreprocessSpec(resize="pad")
BLANK = np.zeros((1, 3), np.float32)


def content(labels: tuple[str, ...], task: str = "classification", **outputs: np.ndarray) -> BundleContent:
    spec = {"preprocess": PADDED.model_dump(), "preprocess_fingerprint": PADDED.fingerprint}
    manifest = HeadManifest.model_validate({**head_manifest(), "task": task, **spec})
    return BundleContent(MODEL, manifest, ({"pooled": BLANK}, outputs or {"logits": BLANK}), "# dots", labels)


def test_it_is_not_published(tmp_path):
    content(("a", "b", "c")).write(tmp_path / "good")
    for number, labels in enumerate((("a", "b"), ("a", "b", "c", "d"))):
        with pytest.raises(ModelInvalidError, match=f"has {len(labels)} labels, but 3 outputs"):
            content(labels).write(tmp_path / str(number))


@pytest.mark.parametrize(
    ("task", "outputs"),
    [
        ("segmentation", {"logits": np.zeros((1, 3, 4, 4), np.float32)}),
        ("detection", {"boxes": np.zeros((1, 5, 4), np.float32), "scores": np.zeros((1, 5, 3), np.float32)}),
    ],
)
def test_neither_are_maps_and_boxes(task, outputs, tmp_path):
    with pytest.raises(ModelInvalidError, match=r"has 2 label\(?s\)?, but .*3"):
        content(("a", "b"), task, **outputs).write(tmp_path / "bundle")


def test_it_is_not_served(tmp_path):
    folder = content(("a", "b", "c")).write(tmp_path / "bundle")
    (folder / "labels.txt").write_text("a\nbig\ngreen pear\nc\n")
    bundle = read_bundle(folder)
    found = load_head(bundle, None)
    assert isinstance(found, FaultyHead)
    assert "head 'dots' has 4 labels, but 3 outputs: labels.txt needs a line for each" in found.error.message
