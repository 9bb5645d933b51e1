"""The SIMD resize is Pillow's filter; where it cannot be had, Pillow itself."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import SAMPLES
from trunkline.core import resize as module
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.resize import resize

simd = pytest.mark.skipif(not module.IS_SIMD, reason="cykooz.resizer has no wheel for this machine")
PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def apart(picture, size, kind, box):
    """Differences from Pillow's own resize, int (H, W) or (H, W, 3)."""
    ours = np.asarray(resize(picture, size, kind, box)).astype(int)
    return ours - np.asarray(picture.resize(size, PILLOW[kind], box=box))


@simd
@pytest.mark.parametrize("name", ["coffee", "chelsea", "astronaut", "clock", "camera"])
@pytest.mark.parametrize("kind", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_photograph_comes_out_as_from_pillow_but_for_rounding(name, kind, mode):
    picture = Image.open(SAMPLES / f"{name}.jpg").convert(mode)
    width, height = picture.size
    off = apart(picture, (224, 192), kind, (10.3, 5.7, width - 20.1, height - 0.4))
    assert np.abs(off).mean() < 0.3
    assert np.abs(off).max() <= 6
    assert abs(off.mean()) < 0.05


@simd
@pytest.mark.parametrize("seed", range(40))
def test_any_part_of_any_size_is_taken_even_at_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    width, height = (int(2 ** rng.uniform(0, 10)) for _ in range(2))
    grid = np.add.outer(np.arange(height) / height, np.arange(width) / width) * 120  # smooth: rounding alone differs
    picture = Image.fromarray(grid.astype(np.uint8))
    left, top = rng.uniform(0, 0.7) * width, rng.uniform(0, 0.7) * height
    box = (left, top, float(width), float(height))
    for size in ((32, 64), (1, 1), (224, 224)):
        assert np.abs(apart(picture, size, "bicubic", box)).max() <= 4


@simd
def test_rounding_never_carries_a_part_past_the_end_of_the_picture():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        end = float(rng.integers(1, 65_536))
        begin = float(rng.uniform(0, end))
        length = module._length(begin, end)
        assert begin + length <= end
        assert length == pytest.approx(end - begin, abs=1e-9)


def test_without_simd_pillow_resizes(monkeypatch):
    monkeypatch.setattr(module, "IS_SIMD", False)
    picture = Image.open(SAMPLES / "coffee.jpg").convert("RGB")
    assert not apart(picture, (224, 224), "bicubic", (1.5, 2.5, 301.5, 302.5)).any()


def test_stored_features_of_other_pixels_are_not_used_again(monkeypatch, tmp_path):
    features = pytest.importorskip("trunkline.training.features")
    store = object.__new__(features.FeatureStore)
    store._digest, store._folder = "digest of a backbone", tmp_path
    recipe = features.Recipe(("pooled",), PreprocessSpec())
    before = store._path(b"a picture", recipe, 0)
    assert store._path(b"a picture", recipe, 0) == before
    monkeypatch.setattr(features, "PIXELS_VERSION", "another")
    assert store._path(b"a picture", recipe, 0) != before
