"""Run-length masks, against the implementation that COCO's tools use."""

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco

from trunkline.core.errors import InvalidRequestError
from trunkline.core.masks import LabelRuns, decode_mask, encode_mask, encode_part
from trunkline.core.results import RunLengthMask


def masks():
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (3, 5), (37, 1), (1, 50), (90, 120), (700, 1100)]:
        for share in (0.0, 1.0, 0.5, 0.01):
            yield rng.random(shape) < share
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        yield (rows - shape[0] / 2) ** 2 + (columns - shape[1] / 3) ** 2 < (min(shape) / 3) ** 2


def test_a_mask_is_encoded_as_coco_does_and_comes_back_whole():
    for mask in masks():
        found = encode_mask(mask)
        assert found.counts == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        assert (found.height, found.width) == mask.shape
        assert (decode_mask(found) == mask).all()


def test_only_booleans_are_masks():
    with pytest.raises(TypeError, match="uint8"):
        encode_mask(np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize("counts", ["", "5", "0" * 3 + "o", "~~", "é", "o" * 40 + "0", "D4"])
def test_run_lengths_that_do_not_fill_the_mask_are_refused(counts):
    with pytest.raises(InvalidRequestError):
        decode_mask(RunLengthMask(2, 2, counts))


@pytest.mark.parametrize(("width", "height"), [(0, 4), (4, 0), (-2, -2), (2**31 - 1, 2**31 - 1), (2**20, 2**20)])
def test_a_mask_of_no_size_or_of_one_that_no_picture_has_is_refused(width, height):
    with pytest.raises(InvalidRequestError, match="pixels are allowed"):
        decode_mask(RunLengthMask(width, height, "4"))


def test_a_part_of_a_mask_is_encoded_as_the_whole_is():
    rng = np.random.default_rng(0)
    for _ in range(500):
        width, height = rng.integers(1, 9, 2)
        left, top = rng.integers(0, width), rng.integers(0, height)
        part = rng.random((rng.integers(0, height - top + 1), rng.integers(0, width - left + 1))) < rng.random()
        whole = np.zeros((height, width), bool)
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        assert encode_part(part, int(left), int(top), int(width), int(height)) == encode_mask(whole)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (33, 57), (400, 900)])
def test_masks_of_a_label_map_that_comes_row_by_row_are_those_of_the_whole(shape):
    rng = np.random.default_rng(3)
    labels = np.repeat(rng.integers(0, 4, (shape[0], -(-shape[1] // 3))), 3, axis=1)[:, : shape[1]].astype(np.uint8)
    labels[labels == 2] = 255
    runs = LabelRuns(shape[1], shape[0])
    for top in range(0, shape[0], 7):
        runs.add(labels[top : top + 7])
    wanted = np.unique(labels).tolist()
    assert list(runs.masks(wanted)) == [encode_mask(labels == index) for index in wanted]
