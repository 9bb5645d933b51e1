"""What comes to a head service over the wire is of one picture, or refused before a head works on it."""

import math

import numpy as np
import pytest

from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import Frame, PreprocessSpec, frame_of
from trunkline.heads.checks import checked_features, checked_frame

PIXELS = 50_000_000
GOOD = Frame(640, 480, 2.0, 0.5, 2.0, -1.0, 320, 256)
SIZES = [(1, 1), (1, 65_535), (65_535, 1), (640, 480), (7000, 7000), (65_535, 762)]
SPECS = [
    PreprocessSpec(resize="crop", crop_share=0.001),
    PreprocessSpec(resize="crop", width=1024, height=32),
    PreprocessSpec(resize="squash", width=2048, height=1024),
    PreprocessSpec(resize="pad", width=32, height=4096),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.resize)
def test_every_frame_that_a_picture_gets_is_taken(size, spec):
    frame = frame_of(*size, spec)
    assert checked_frame(frame, PIXELS) is frame
    assert frame.shows_all or spec.resize == "crop"


BAD = {
    "no picture": {"image_width": 0},
    "less than none": {"image_height": -480},
    "too long": {"image_width": 70_000, "image_height": 1},
    "too many pixels": {"image_width": 8000, "image_height": 8000},
    "no input": {"input_width": 0},
    "too large an input": {"input_width": 4096, "input_height": 4096},
    "scale of nothing": {"x_scale": 0.0},
    "mirrored": {"y_scale": -1.0},
    "scale that is no number": {"x_scale": math.nan},
    "offset without end": {"y_offset": math.inf},
    "far off": {"x_offset": 1e300},
    "far off on the other side": {"y_offset": -1e300},
}


@pytest.mark.parametrize("fault", BAD.values(), ids=BAD)
def test_a_frame_that_no_picture_has_is_refused(fault):
    with pytest.raises(InvalidRequestError, match=r"frame|input"):
        checked_frame(Frame(**{**vars(GOOD), **fault}), PIXELS)


def test_a_frame_that_leaves_a_part_out_does_not_show_all():
    assert not Frame(640, 480, 1.0, 100.0, 1.0, 0.0, 320, 320).shows_all
    assert Frame(320, 320, 1.0, 0.0, 1.0, 0.0, 320, 320).shows_all


@pytest.mark.parametrize("shape", [(), (0, 4), (2, 4), (1, 0), (1, 8, 0, 7)])
def test_features_that_are_not_of_one_picture_are_refused(shape):
    with pytest.raises(InvalidRequestError, match="feature 'c5'"):
        checked_features({"c5": np.zeros(shape, np.float32)})
    assert checked_features({"c5": np.zeros((1, 8, 7, 7), np.float32)})
