"""Decoding of segmentation heads."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.masks import decode_mask
from trunkline.core.preprocess import Frame, PreprocessSpec, frame_of
from trunkline.heads.segmentation import bands as band_maps
from trunkline.heads.segmentation import head as heads
from trunkline.heads.segmentation.bands import bands, label_map
from trunkline.heads.segmentation.head import Head
from trunkline.heads.segmentation.label_map import Strip, softmax
from trunkline.heads.segmentation.palette import default_palette
from trunkline.heads.segmentation.tally import Tally

LABELS = ("sky", "road", "car")


def squashed(width: int, height: int, side: int = 32) -> Frame:
    return Frame(width, height, width / side, 0.0, height / side, 0.0, side, side)


def head(labels=LABELS, golden=(1, 3, 8, 8), resize="squash", **settings) -> Head:
    manifest = SimpleNamespace(name="streets", settings=settings, preprocess=PreprocessSpec(resize=resize))
    outputs = {"logits": np.zeros(golden, np.float32)}
    return Head(SimpleNamespace(labels=labels, path="bundle", manifest=manifest, read_golden=lambda: ({}, outputs)))


def logits_of(classes: np.ndarray, count: int = 3, sure: float = 20.0) -> np.ndarray:
    """int (h, w) -> float32 (1, count, h, w)"""
    return np.float32(sure) * (np.arange(count)[:, None, None] == classes)[None].astype(np.float32)


def decode(classes, frame, params=None, **settings):
    return head(**settings).decode({"logits": logits_of(np.array(classes))}, frame, params or {})


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_label_map_has_the_size_of_the_callers_picture_and_its_own_colours():
    found = decode([[0, 1], [0, 1]], squashed(100, 30), palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    picture = Image.open(io.BytesIO(found.label_map_png))
    assert (picture.mode, picture.size) == ("P", (100, 30))
    assert picture.getpalette()[:9] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    labels = np.asarray(picture)
    assert (labels[:, :50] == 0).all()
    assert (labels[:, 50:] == 1).all()


def test_classes_come_largest_first_with_their_share_and_mean_probability():
    found = decode([[1, 1, 1, 2]], squashed(64, 16))
    assert [part.label for part in found.classes] == ["road", "car"]
    assert sum(part.area for part in found.classes) == pytest.approx(1)
    assert found.classes[0].area == pytest.approx(0.75, abs=0.02)
    assert all(0.8 < part.confidence <= 1 for part in found.classes)
    assert found.classes[0].mask is None


def test_run_lengths_hold_the_same_pixels_as_the_map():
    both = decode([[0, 1], [2, 1]], squashed(37, 23), {"format": "both"})
    labels = pixels(both.label_map_png)
    for part in both.classes:
        assert (decode_mask(part.mask) == (labels == part.index)).all()
    alone = decode([[0, 1], [2, 1]], squashed(37, 23), {"format": "rle"})
    assert alone.label_map_png == b""
    assert alone.classes == both.classes


def test_a_confidence_map_is_given_where_it_is_asked_for():
    sure, unsure = (
        head().decode(
            {"logits": logits_of(np.array([[0, 1]]), sure=sure)}, squashed(20, 10), {"confidence_map": True}
        )
        for sure in (20.0, 0.5)
    )
    assert pixels(sure.confidence_map_png).shape == (10, 20)
    assert pixels(sure.confidence_map_png)[5, 0] == 255
    assert pixels(unsure.confidence_map_png).max() < 130
    assert decode([[0, 1]], squashed(20, 10)).confidence_map_png == b""


def test_padding_is_no_part_of_the_answer():
    """A wide picture in the middle of a square input: rows of padding above and below hold another class."""
    spec = np.full((32, 32), 2)
    spec[8:24, :16], spec[8:24, 16:] = 0, 1
    frame = Frame(64, 32, 2.0, 0.0, 2.0, -16.0, 32, 32)
    labels = pixels(decode(spec, frame).label_map_png)
    assert labels.shape == (32, 64)
    assert (labels[:, :31] == 0).all()
    assert (labels[:, 33:] == 1).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (3, 1000)])
def test_any_size_and_aspect_works(size):
    found = decode([[0, 1], [2, 0]], squashed(*size), {"format": "both", "confidence_map": True})
    assert pixels(found.label_map_png).shape == size[::-1]


@pytest.mark.parametrize("size", [(900, 700), (2000, 40), (40, 3000)])
@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_bands_are_the_whole_label_map_bit_for_bit(size, resize, monkeypatch):
    probabilities = softmax(np.random.default_rng(0).normal(size=(5, 24, 32)).astype(np.float32) * 3)
    frame = frame_of(*size, PreprocessSpec(resize=resize, width=128, height=96))
    monkeypatch.setattr(band_maps, "_AT_ONCE", 10_000_000)
    monkeypatch.setattr(band_maps, "_WIDENED_AT_ONCE", 10_000_000)
    whole = label_map(probabilities, frame)
    monkeypatch.setattr(band_maps, "_AT_ONCE", 7_000)
    strips = list(bands(probabilities, frame))
    assert len(strips) > 1
    assert (np.concatenate([strip.labels for strip in strips]) == whole.labels).all()
    assert (np.concatenate([strip.confidence for strip in strips]) == whole.confidence).all()


def test_a_large_picture_gets_the_answer_that_a_small_one_gets(monkeypatch):
    classes = np.random.default_rng(2).integers(0, 3, (12, 16))
    params = {"format": "both", "confidence_map": True}
    whole = decode(classes, squashed(130, 90), params)
    monkeypatch.setattr(heads, "AT_ONCE", 100)
    monkeypatch.setattr(band_maps, "_AT_ONCE", 900)
    found = decode(classes, squashed(130, 90), params)
    assert found.classes == whole.classes
    for png in ("label_map_png", "confidence_map_png"):
        ours, theirs = (Image.open(io.BytesIO(getattr(each, png))) for each in (found, whole))
        assert (ours.mode, ours.size, ours.getpalette()) == (theirs.mode, theirs.size, theirs.getpalette())
        assert (np.asarray(ours) == np.asarray(theirs)).all()


@pytest.mark.parametrize("size", [(80, 60), (480, 360), (300, 4), (5, 300), (8, 6), (3, 2), (1, 1)])
@pytest.mark.parametrize("sureness", [1, 4, 40])
def test_labels_are_those_of_the_plain_way(size, sureness):
    """Every class interpolated over the whole picture, then compared; where two are nearly equal, either will do."""
    probabilities = softmax(np.random.default_rng(1).normal(size=(40, 6, 8)).astype(np.float32) * sureness)
    planes = np.stack(
        [np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR)) for plane in probabilities]
    )
    found = label_map(probabilities, squashed(*size))
    np.testing.assert_allclose(found.confidence, planes.max(axis=0), atol=2e-6)
    chosen = np.take_along_axis(planes, found.labels[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(chosen, planes.max(axis=0), atol=2e-6)


def test_what_is_counted_is_what_is_there():
    rng = np.random.default_rng(3)
    labels, confidence = rng.integers(0, 4, (50, 70)).astype(np.uint8), rng.random((50, 70), np.float32)
    labels[20:40] = 3
    tally = Tally(6)
    for part in (np.s_[:7], np.s_[7:8], np.s_[8:]):
        tally.add(Strip(labels[part], confidence[part]))
    assert sorted(tally.order()) == [0, 1, 2, 3]
    for index in range(4):
        assert tally.area(index) == pytest.approx((labels == index).mean())
        assert tally.confidence(index) == pytest.approx(confidence[labels == index].mean(), rel=1e-5)


@pytest.mark.parametrize("params", [{"format": "gif"}, {"confidence_map": "perhaps"}, {"top_k": 3}])
def test_wrong_parameters_are_refused(params):
    with pytest.raises(InvalidRequestError):
        decode([[0, 1]], squashed(4, 4), params)


def test_scores_that_are_no_numbers_are_no_answer():
    with pytest.raises(ModelInvalidError, match="finite"):
        head().decode({"logits": np.full((1, 3, 2, 2), np.nan, np.float32)}, squashed(4, 4), {})


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"labels": ("one",)}, "labels"),
        ({"golden": (1, 4, 8, 8)}, "3 labels"),
        ({"golden": (1, 3)}, "3 labels"),
        ({"palette": [[0, 0, 0]]}, "colours"),
        ({"palette": [[0, 0, 300]] * 3}, "palette"),
        ({"resize": "crop"}, "crop"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(wrong, word):
    with pytest.raises(ModelInvalidError, match=word):
        head(**wrong)


def test_colours_of_neighbours_in_the_list_are_far_apart():
    palette = np.array(default_palette(40), float)
    assert len({tuple(colour) for colour in palette}) == 40
    assert np.abs(np.diff(palette, axis=0)).sum(axis=1).min() > 100
