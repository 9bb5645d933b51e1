"""Drawings bent a batch at a time."""

import math

import numpy as np
import pytest
import torch

from trunkline.training.batches import PixelBatches
from trunkline.training.bent import DEGREES, MOVED, SCALED, bent


def bars(height: int, width: int, count: int) -> torch.Tensor:
    """uint8 (N, 1, H, W): a dark bar, upright, of a third of the height, in the middle of white."""
    pixels = torch.full((count, 1, height, width), 255, dtype=torch.uint8)
    pixels[:, :, height // 3 : -(height // 3), width // 2 - 1 : width // 2 + 1] = 0
    return pixels


def moments(picture: torch.Tensor) -> tuple[np.ndarray, float, float]:
    """Of the ink: its middle in pixels, the angle of its longer axis to the vertical in degrees, the ink itself."""
    ink = 255 - picture.double().numpy()
    ys, xs = np.mgrid[: ink.shape[0], : ink.shape[1]]
    total = ink.sum()
    middle = np.array([(ink * xs).sum(), (ink * ys).sum()]) / total
    dx, dy = xs - middle[0], ys - middle[1]
    angle = 0.5 * math.atan2(2 * (ink * dx * dy).sum(), (ink * (dy * dy - dx * dx)).sum())
    return middle, math.degrees(angle), total


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 128)])
def test_each_drawing_moves_in_its_own_way_within_the_bounds(height, width):
    torch.manual_seed(0)
    before = bars(height, width, 200)
    found = [moments(picture[0]) for picture in bent(before)]
    middle, _, ink = moments(before[0, 0])
    shift = np.array([each[0] - middle for each in found]) / (width, height)
    angles = np.array([each[1] for each in found])
    sizes = np.sqrt([each[2] / ink for each in found])
    assert np.abs(shift).max() <= MOVED + SCALED[1] / min(height, width)
    assert np.abs(shift).std(axis=0).min() > 0.02
    assert 5 < np.abs(angles).max() <= 2 * DEGREES + 3  # a turn and a shear add up
    assert SCALED[0] - 0.05 < sizes.min() < 0.92
    assert 1.08 < sizes.max() < SCALED[1] + 0.05


def test_paper_stays_white_and_the_shape_what_it_was():
    blank = torch.full((3, 3, 20, 31), 255, dtype=torch.uint8)
    found = bent(blank)
    assert found.dtype == torch.uint8
    assert torch.equal(found, blank)


def test_batches_are_bent_anew_each_time_and_repeat_with_the_seed():
    pixels = bars(32, 32, 4).permute(0, 2, 3, 1).contiguous().numpy()
    batches = PixelBatches(pixels, np.arange(4), "turns")
    torch.manual_seed(1)
    first, truth = batches.__getitems__([0, 2])
    second, _ = batches.__getitems__([0, 2])
    torch.manual_seed(1)
    again, _ = batches.__getitems__([0, 2])
    assert first.shape == (2, 32, 32, 1)
    assert truth.tolist() == [0, 2]
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, again)
