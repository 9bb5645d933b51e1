"""Stages of a cascade: what each learns from, and what it hands on."""

import pytest
import torch
from torch import nn

from trunkline.heads.detection.learn.regions import Regions
from trunkline.heads.detection.learn.sizes import SIZES
from trunkline.heads.detection.learn.stages import GRADES, Stage

SIDE, SIZE = 128, SIZES["light"]
OBJECT = torch.tensor([[20.0, 20, 80, 80]])
NO_REGIONS = torch.zeros(0, 4)


def levels(count=1):
    torch.manual_seed(0)
    return {name: torch.randn(count, SIZE.width, SIDE // stride, SIDE // stride) for name, stride in STRIDES.items()}


STRIDES = {"c3": 8, "c4": 16, "c5": 32}


def stage(grade):
    torch.manual_seed(0)
    return Stage(2, SIZE, (SIDE, SIDE), 0.0, grade)


def of(boxes, ignored=NO_REGIONS):
    return {"boxes": boxes, "labels": torch.ones(len(boxes), dtype=torch.int64), "ignored": ignored}


def learned(grade, regions, target):
    return stage(grade).losses(levels(), [regions], [target], None, 0.0)


@pytest.mark.parametrize(("grade", "label"), list(zip(GRADES, (1, 0, 0), strict=True)))
def test_later_stages_ask_for_more_overlap(grade, label):
    region = torch.tensor([[20.0, 20, 80, 54]])  # IoU 34 / 60 = 0.57
    _, sampled, _ = learned(grade, region, of(OBJECT))
    at = (sampled.regions[0] == region).all(dim=1)
    assert sampled.labels[0][at].tolist() == [label]


def test_an_objects_own_box_teaches_a_stage_and_is_not_handed_on():
    near = torch.tensor([[22.0, 22, 82, 82]])
    losses, sampled, following = learned(GRADES[0], near, of(OBJECT))
    assert len(sampled.regions[0]) == 2
    assert len(following[0]) == 1
    assert losses["class"] > 0
    assert losses["box"] > 0


def test_a_box_moved_to_nothing_is_not_handed_on():
    shrinking = stage(GRADES[0])
    nn.init.zeros_(shrinking.box_predictor.bbox_pred.weight)
    shrinking.box_predictor.bbox_pred.bias.data = torch.tensor([0.0, 0, -50, -50])  # logarithms of the sides
    region = torch.tensor([[20.0, 20, 80, 60]])
    _, sampled, following = shrinking.losses(levels(), [region], [of(NO_REGIONS)], None, 0.0)
    assert len(sampled.regions[0]) == 1
    assert len(following[0]) == 0


def test_regions_in_a_crowd_teach_no_stage():
    crowd = torch.tensor([[0.0, 0, SIDE, SIDE]])
    for grade in GRADES:
        losses, sampled, following = learned(grade, OBJECT, of(NO_REGIONS, crowd))
        assert not len(sampled.regions[0])
        assert not len(following[0])
        assert all(loss == 0 for loss in losses.values())


def test_boxes_are_the_last_stages_and_scores_the_mean_of_all():
    torch.manual_seed(0)
    regions = Regions(2, SIZE, (SIDE, SIDE), 0.0)
    pictures = levels(2)
    with torch.no_grad():
        for number, each in enumerate(regions.stages):
            nn.init.zeros_(each.box_predictor.cls_score.weight)
            each.box_predictor.cls_score.bias.data = torch.tensor([0.0, float(number), 0.0])
            nn.init.zeros_(each.box_predictor.bbox_pred.weight)
            # Each stage moves a box by a tenth of its width.
            across = GRADES[number].sharpness
            each.box_predictor.bbox_pred.bias.data = torch.tensor([0.1 * across, 0, 0, 0])
        boxes, scores = regions.describe(pictures, [OBJECT, torch.cat([OBJECT, OBJECT / 2])])
    assert [len(each) for each in boxes] == [1, 2]
    assert boxes[0][0].tolist() == pytest.approx([38, 20, 98, 80], abs=1e-3)
    want = torch.stack([torch.tensor([0.0, number, 0.0]).softmax(0)[1:] for number in range(3)]).mean(0)
    assert scores[1] == pytest.approx(want.expand(2, 2), abs=1e-6)
