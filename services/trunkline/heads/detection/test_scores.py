"""What detections are worth, on cases that can be worked out by hand."""

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")

from dataclasses import dataclass

from PIL import Image

from trunkline.core.masks import encode_mask
from trunkline.core.results import Box, Detection, Detections, ScoredLabel
from trunkline.heads.detection.matches import overlap
from trunkline.heads.detection.scores import DetectionScores

CLASSES = ("cat", "dog")


@dataclass
class Truth:
    label: int
    box: Box
    mask: object = None
    crowd: bool = False


class Outline:
    def __init__(self, mask):
        self.load = lambda: mask.astype(np.uint8)


def found(score, *box, label=0, mask=None):
    return Detection(Box(*box), ScoredLabel(label, CLASSES[label], score), mask)


def scores(*pictures):
    return DetectionScores.of(
        [Detections(answers) for answers, _ in pictures], [known for _, known in pictures], CLASSES
    )


def test_perfect_answers_have_a_precision_of_one():
    box = (10, 10, 50, 60)
    metrics = scores(((found(0.9, *box),), (Truth(0, Box(*box)),)), ((), ())).metrics()
    assert metrics == pytest.approx({"ap": 1, "ap50": 1, "ap75": 1})


def test_a_box_that_overlaps_by_six_tenths_counts_up_to_there():
    known, near = Box(0, 0, 100, 100), (0, 0, 100, 62)
    assert overlap(known, Box(*near)) == pytest.approx(0.62)
    metrics = scores(((found(0.9, *near),), (Truth(0, known),))).metrics()
    assert metrics == pytest.approx({"ap": 0.3, "ap50": 1, "ap75": 0})


def test_a_better_false_answer_halves_precision_and_nothing_answered_is_zero():
    known = (Truth(0, Box(0, 0, 10, 10)),)
    false_first = scores(((found(0.9, 50, 50, 60, 60), found(0.8, 0, 0, 10, 10)), known))
    assert false_first.metrics()["ap50"] == pytest.approx(0.5)
    assert scores(((), known)).metrics() == pytest.approx({"ap": 0, "ap50": 0, "ap75": 0})
    assert scores(((found(0.9, 0, 0, 9, 9),), ())).metrics()["ap"] == 0


def test_crowds_are_neither_found_nor_missed():
    known = (Truth(0, Box(0, 0, 10, 10)), Truth(0, Box(40, 40, 90, 90), crowd=True))
    answers = (found(0.95, 50, 50, 60, 60), found(0.9, 0, 0, 10, 10))
    measured = scores((answers, known))
    assert measured.metrics()["ap"] == pytest.approx(1)
    assert measured.counts[0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_counts_say_what_was_found_mistaken_missed_and_false():
    known = (Truth(0, Box(0, 0, 10, 10)), Truth(0, Box(20, 0, 30, 10)), Truth(1, Box(40, 0, 50, 10)))
    answers = (
        found(0.9, 0, 0, 10, 10),
        found(0.8, 20, 0, 30, 10, label=1),
        found(0.7, 70, 0, 80, 10, label=1),
        found(0.3, 40, 0, 50, 10, label=1),  # below what is shown
    )
    measured = scores((answers, known))
    assert measured.counts[0].tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert measured.caption(0) == "1 of 3 found\n2 wrong"
    assert "| cat | 2 |" in measured.card()


def test_masks_are_measured_where_both_sides_have_them():
    mask = np.zeros((80, 80), np.bool_)
    mask[10:50, 20:60] = True
    half = mask.copy()
    half[30:50] = False
    box = (20, 10, 60, 50)
    known = (Truth(0, Box(*box), Outline(mask)),)
    whole = scores(((found(0.9, *box, mask=encode_mask(mask)),), known)).metrics()
    assert whole["mask_ap"] == pytest.approx(1)
    part = scores(((found(0.9, *box, mask=encode_mask(half)),), known)).metrics()
    assert (part["ap"], part["mask_ap50"], part["mask_ap"]) == pytest.approx((1, 1, 0.1))
    assert "mask_ap" not in scores(((found(0.9, *box),), known)).metrics()


def test_pictures_are_drawn_and_ordered(tmp_path):
    right, wrong = (found(0.9, 10, 10, 50, 60),), (found(0.9, 0, 0, 5, 5),)
    known = (Truth(0, Box(10, 10, 50, 60)),)
    measured = scores((wrong, known), (right, known))
    assert measured.best_and_worst(1) == ([1], [0])
    for name in measured.draw(tmp_path):
        assert (tmp_path / name).stat().st_size > 0
    shown = measured.overlay(1, Image.new("RGB", (100, 80), "gray"))
    assert shown.size == (100, 80)
    assert len({shown.getpixel((10, 20)), shown.getpixel((80, 70))}) == 2
