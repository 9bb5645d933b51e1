"""Objects of one picture laid over another: the pixels, and what is then true of them."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.box_data import SIDE, coco_folder
from trunkline.core.errors import InvalidRequestError
from trunkline.core.images import decode_image
from trunkline.training.data import pasted as module
from trunkline.training.data.read import read_dataset


def pasted(samples, seed, progress=lambda done, total: None):
    return module.pasted(samples, seed, progress)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, samples):
    """Bright discs (label 0) and dark squares (label 1)."""
    folder = coco_folder(tmp_path_factory.mktemp("data") / "shapes", samples, {"train": 12})
    return [sample for sample in read_dataset(folder).samples if sample.split == "train"]


def test_there_are_nine_new_ones_for_each_of_few_and_the_same_for_the_same_seed(pictures):
    made = pasted(pictures, 0)
    assert len(made) == 9 * len(pictures)
    assert len({each.name for each in made}) == len(made)
    assert len({each.read() for each in made}) == len(made)
    again = pasted(pictures, 0)
    assert made == again
    assert [each.read() for each in made] == [each.read() for each in again]
    assert [each.read() for each in pasted(pictures, 1)] != [each.read() for each in made]


def test_objects_come_from_another_picture_that_has_some():
    rng = np.random.default_rng(0)
    assert {module._another([1, 4, 6], 4, rng) for _ in range(50)} == {1, 6}
    assert {module._another([1, 4, 6], 5, rng) for _ in range(50)} == {1, 4, 6}
    assert {module._another([1, 4, 6], 0, rng) for _ in range(50)} == {1, 4, 6}
    assert module._another([4], 4, rng) == 4
    assert module._another([], 4, rng) == 4


def test_an_object_is_where_its_outline_says_and_what_covers_it_is_not(pictures):
    for sample in pasted(pictures, 0):
        pixels = np.asarray(decode_image(sample.read()))
        assert sample.size == (SIDE, SIDE)
        seen = np.zeros((SIDE, SIDE), int)
        for each in sample.objects:
            mask = each.mask.load().astype(bool)
            bright = np.median(pixels[mask])
            assert bright > 200 if each.label == 0 else bright < 60, (sample.name, each.label)
            rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
            edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert [each.box.x_min, each.box.y_min, each.box.x_max, each.box.y_max] == edges
            seen += mask
        assert seen.max(initial=0) <= 1


def test_pictures_become_more_crowded_and_some_objects_are_covered(pictures):
    made = pasted(pictures, 0)
    assert np.mean([len(each.objects) for each in made]) > np.mean([len(each.objects) for each in pictures]) + 0.5
    areas = {each.mask.load().sum() for sample in pictures for each in sample.objects}
    kept = [each for sample in made for each in sample.objects]
    assert any(each.mask.load().sum() not in areas for each in kept)


def test_what_is_nearly_covered_is_to_be_ignored(pictures):
    crowds = [
        each for seed in range(12) for sample in pasted(pictures, seed) for each in sample.objects if each.crowd
    ]
    assert crowds
    assert min(each.mask.load().sum() for each in crowds) > 0


def test_new_pictures_go_to_other_processes(pictures):
    made = pasted(pictures, 0)[0]
    assert pickle.loads(pickle.dumps(made)).read() == made.read()


@pytest.mark.parametrize("broken", [{"objects": None}, {"outline": None}])
def test_without_outlines_it_says_what_would_do(pictures, broken):
    if "outline" in broken:
        objects = tuple(replace(each, mask=None) for each in pictures[-1].objects)
        assert objects
        broken = {"objects": objects}
    with pytest.raises(InvalidRequestError, match="needs the outline of every object"):
        pasted([*pictures[:-1], replace(pictures[-1], **broken)], 0)


def test_one_picture_is_too_few(pictures):
    with pytest.raises(InvalidRequestError, match="two pictures"):
        pasted(pictures[:1], 0)


def test_it_says_how_far_it_is(pictures):
    told = []
    pasted(pictures, 0, lambda done, total: told.append((done, total)))
    assert told == [(done, len(pictures)) for done in range(1, len(pictures) + 1)]
