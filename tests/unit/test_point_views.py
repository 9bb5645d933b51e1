"""Points move with every view of a picture, exactly; what is learned from them is what was drawn."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import torch

from trunkline.core.preprocess import Frame, PreprocessSpec, frame_of
from trunkline.heads.keypoints.learn.places import distances, point_loss, read_off
from trunkline.heads.keypoints.learn.truth import annotation_in, mirror_order, target
from trunkline.training.augment import view_with

NAMES = ("left", "right", "top")
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
PLACES = ((40.5, 60.5), (80.5, 64.5), (60.5, 40.5))
SIDE = 128
KINDS = ["mirror", "flips", "photo", "scene", "boxes", "overhead", "moved", "posed"]


def drawn() -> np.ndarray:
    """uint8 (1, 128, 128, 3): black, with a square of 9 pixels in its own colour around the middle of each point."""
    picture = Image.new("RGB", (SIDE, SIDE))
    draw = ImageDraw.Draw(picture)
    for (x, y), colour in zip(PLACES, COLOURS, strict=True):
        draw.rectangle((x - 4.5, y - 4.5, x + 3.5, y + 3.5), colour)  # from the first to the last pixel
    return np.asarray(picture)[None]


def in_frame(side: int = SIDE) -> Frame:
    return frame_of(SIDE, SIDE, PreprocessSpec(resize="squash", width=side, height=side))


def truth(places=PLACES, seen=(True, True, True)):
    rows = enumerate(zip(places, seen, strict=True))
    known = [SimpleNamespace(label=label, x=x, y=y, seen=each) for label, ((x, y), each) in rows]
    return SimpleNamespace(places=known)


def middle_of(pixels: np.ndarray, colour: int) -> np.ndarray:
    """(x, y) of what has more of a colour than of the others, (0, 0) the outer corner; nan where there is none."""
    values = pixels[0].astype(np.float64)
    weight = np.clip(values[..., colour] - np.delete(values, colour, axis=2).max(axis=2), 0, None)
    weight[weight < 40] = 0
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum() if weight.sum() else np.full(2, np.nan)


@pytest.mark.parametrize("kind", KINDS)
def test_points_lie_where_they_are_seen_in_each_view(kind):
    frame, order = in_frame(), mirror_order(NAMES, ())
    turned = 0
    for seed in range(24):
        before = annotation_in(truth(), 3, frame)
        pixels, after = view_with(drawn(), before, kind, SIDE, SIDE, seed)
        found = target(after, order)
        for index in range(3):
            where = middle_of(pixels, index)
            if found[index, 2] and (np.abs(found[index, :2] - 0.5) < 0.4).all():
                assert np.abs(found[index, :2] * SIDE - where).max() < 0.5, (kind, seed, index)
                turned += not np.allclose(found[index, :2] * SIDE, PLACES[index], atol=1)
    assert turned, "no view is another one"


@pytest.mark.parametrize(("kind", "some"), [("mirror", 24), ("posed", 1), ("moved", 0)])
def test_left_and_right_change_places_in_mirrored_views_alone(kind, some):
    frame, before = in_frame(), truth(seen=(True, False, True))
    order, swapped = mirror_order(NAMES, [("left", "right")]), 0
    for seed in range(24):
        pixels, after = view_with(drawn(), annotation_in(before, 3, frame), kind, SIDE, SIDE, seed)
        found = target(after, order)
        red, green = middle_of(pixels, 0), middle_of(pixels, 1)
        left, right = found[0, :2] * SIDE, found[1, :2] * SIDE
        mirrored = np.abs(left - green).max() < 0.5
        assert mirrored or np.abs(left - red).max() < 0.5
        assert np.abs(right - (red if mirrored else green)).max() < 0.5
        assert found[0, 3] == (not mirrored), "what is hidden changes places too"
        assert left[0] < right[0], "left is where left is seen"
        swapped += mirrored
    assert swapped >= some
    assert swapped == some or kind == "posed"


def test_what_is_outside_of_a_view_or_not_labelled_is_not_learned():
    frame = in_frame(64)
    outside = truth(places=((-5.0, 10.0), (40.0, 20.0)), seen=(True, True))
    found = target(annotation_in(outside, 3, frame), np.arange(3))
    assert found[:, 2].tolist() == [0, 1, 0]
    assert found[1, :2].tolist() == pytest.approx([40 / SIDE, 20 / SIDE])


def test_a_narrow_hill_is_read_off_below_a_pixel_and_costs_little():
    want = torch.tensor([[[0.3711, 0.6123, 1.0, 1.0], [0.5, 0.5, 0.0, 1.0]]])
    y, x = torch.meshgrid((torch.arange(32) + 0.5) / 32, (torch.arange(24) + 0.5) / 24, indexing="ij")
    hill = -((((x - 0.3711) * 24) ** 2 + ((y - 0.6123) * 32) ** 2) / 2)
    heat = torch.stack([hill, torch.zeros(32, 24)])[None]  # (1, 2, 32, 24)
    seen = torch.tensor([[20.0, -20.0]])
    (found,) = read_off(heat, seen)
    assert found[0, :2].tolist() == pytest.approx([0.3711, 0.6123], abs=1e-3)
    assert found[0, 2] > 0.5
    assert found[1, 2] < 0.1, "a flat heatmap knows no place"
    assert found[:, 3].tolist() == pytest.approx([1, 0], abs=1e-6)
    assert distances((heat, seen), want).tolist() == pytest.approx([0], abs=1e-3)
    assert point_loss((heat, seen), want) < 0.05
    beside = torch.roll(heat, 3, dims=3)
    assert point_loss((beside, seen), want) > 1
    assert point_loss((beside, seen), want * torch.tensor([1.0, 1.0, 0.0, 1.0])) == 0
