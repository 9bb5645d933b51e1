"""Decoding of detection heads."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.masks import decode_mask
from trunkline.core.preprocess import Frame, PreprocessSpec, frame_of
from trunkline.core.results import Box, Detections
from trunkline.heads.detection.head import Head
from trunkline.heads.detection.nms import best_pairs, suppress
from trunkline.heads.detection.paste import paste, trace

LABELS = ("cat", "dog", "car")
SAME = Frame(100, 80, 1.0, 0.0, 1.0, 0.0, 100, 80)  # the picture is the model's input


def outputs_of(boxes, scores, masks=None):
    found = {
        "boxes": np.array(boxes, np.float32).reshape(1, -1, 4),
        "scores": np.array(scores, np.float32).reshape(1, len(boxes), -1),
    }
    return found if masks is None else found | {"masks": np.array(masks, np.float32)[None]}


def head(labels=LABELS, golden=None, **settings) -> Head:
    manifest = SimpleNamespace(name="pets", settings=settings, preprocess=PreprocessSpec())
    if golden is None:
        golden = outputs_of([[0, 0, 1, 1]], [[0.5] * len(labels)])
    return Head(SimpleNamespace(labels=labels, path="bundle", manifest=manifest, read_golden=lambda: ({}, golden)))


def decode(boxes, scores, params=None, frame=SAME, **settings) -> Detections:
    return head(**settings).decode(outputs_of(boxes, scores), frame, params or {})


def names(found: Detections) -> list[str]:
    return [each.label.label for each in found.objects]


# Selection ---------------------------------------------------------------------------------------------------


def test_objects_come_best_first_with_box_class_and_score():
    found = decode([[0, 0, 10, 10], [50, 40, 70, 60]], [[0, 0.5, 0], [0.9, 0, 0]]).objects
    assert [each.box for each in found] == [Box(50, 40, 70, 60), Box(0, 0, 10, 10)]
    assert [(each.label.index, each.label.label) for each in found] == [(0, "cat"), (1, "dog")]
    assert [each.label.score for each in found] == pytest.approx([0.9, 0.5])
    assert found[0].mask is None


def test_a_box_is_answered_for_each_class_that_is_good_enough():
    assert names(decode([[0, 0, 10, 10]], [[0.4, 0.8, 0.1]])) == ["dog", "cat"]


@pytest.mark.parametrize(("threshold", "count"), [(0, 2), (0.3, 2), (0.7, 1), (0.71, 0), (1, 0)])
def test_a_score_at_the_threshold_passes_and_one_of_0_never_does(threshold, count):
    scores = [[0, 0.7, 0], [0.3, 0, 0]]
    assert len(decode([[0, 0, 10, 10], [20, 20, 30, 30]], scores, {"score_threshold": threshold}).objects) == count


def test_settings_hold_where_the_request_says_nothing():
    boxes = [[x, 0, x + 8, 8] for x in range(0, 50, 10)]
    scores = [[0.9 - 0.1 * place, 0, 0] for place in range(5)]
    assert len(decode(boxes, scores, score_threshold=0.65).objects) == 3
    assert len(decode(boxes, scores, max_detections=2).objects) == 2
    assert len(decode(boxes, scores, {"max_detections": 4}, max_detections=2).objects) == 4
    assert len(decode(boxes, scores, candidates=1).objects) == 1


# The second overlaps the first by 80 of 120: 2/3. The third overlaps the second by 2/3, the first by 60/140.
ROW = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]


@pytest.mark.parametrize(
    ("iou", "kept"), [(0.42, [0]), (0.43, [0, 4]), (0.66, [0, 4]), (0.67, [0, 2, 4]), (1, [0, 2, 4]), (0, [0])]
)
def test_a_suppressed_box_suppresses_none(iou, kept):
    found = decode(ROW, [[0.9, 0, 0], [0.8, 0, 0], [0.7, 0, 0]], {"nms_iou": iou})
    assert [each.box.x_min for each in found.objects] == kept


def test_an_overlap_of_just_the_limit_stays():
    half = [[0, 0, 10, 10], [0, 0, 10, 5]]
    scores = [[0.9, 0, 0], [0.8, 0, 0]]
    assert len(decode(half, scores, {"nms_iou": 0.5}).objects) == 2
    assert len(decode(half, scores, {"nms_iou": 0.4999}).objects) == 1


def test_classes_suppress_one_another_only_where_the_bundle_says_so():
    scores = [[0.9, 0, 0], [0, 0.8, 0], [0.7, 0, 0]]
    assert names(decode(ROW, scores, {"nms_iou": 0.3})) == ["cat", "dog"]
    assert names(decode(ROW, scores, {"nms_iou": 0.3}, class_agnostic=True)) == ["cat"]


def test_classes_that_are_not_wanted_suppress_none():
    scores = [[0.9, 0, 0], [0, 0.8, 0], [0, 0, 0.7]]
    found = decode(ROW, scores, {"classes": ["car", "dog"], "nms_iou": 0.66}, class_agnostic=True)
    assert names(found) == ["dog"]
    assert names(decode(ROW, scores, {"classes": "car"})) == ["car"]


@pytest.mark.parametrize("seed", range(20))
def test_suppression_is_that_of_the_plain_algorithm(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(0, 120))
    corner = random.integers(0, 30, (count, 2))
    boxes = np.concatenate([corner, corner + random.integers(1, 25, (count, 2))], axis=1).astype(np.float32)
    classes = random.integers(0, 3, count)
    for own in (None, classes):
        for limit in (0, 0.2, 0.5, 1):
            kept = plain_nms(boxes.tolist(), [0] * count if own is None else own.tolist(), limit)
            assert suppress(boxes, own, limit, 1000).tolist() == kept
            assert suppress(boxes, own, limit, 3).tolist() == kept[:3]


def plain_nms(boxes, classes, limit):
    kept = []
    for place, box in enumerate(boxes):
        rivals = [boxes[other] for other in kept if classes[other] == classes[place]]
        if all(iou(box, rival) <= limit for rival in rivals):
            kept.append(place)
    return kept


def iou(one, other):
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0, wide) * max(0, high)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


@pytest.mark.parametrize("most", [1, 7, 50, 1000])
def test_the_best_pairs_are_those_of_a_full_sort(most):
    scores = np.random.default_rng(most).integers(0, 20, (60, 4)).astype(np.float32) / 20  # many are equal
    pairs = sorted(((-score, place) for place, score in enumerate(scores.ravel()) if score >= 0.25))[:most]
    rows, classes = best_pairs(scores, 0.25, most)
    assert list(zip(rows.tolist(), classes.tolist(), strict=True)) == [divmod(place, 4) for _, place in pairs]


# Frames ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resize", "size", "box", "wanted"),
    [
        # 448x672 squashed to 224x224: 2 and 3 pixels of the picture for each of the input.
        ("squash", (448, 672), [10, 20, 110, 120], Box(20, 60, 220, 360)),
        # 448x192 padded: at half size, 224x96, from row 64 on.
        ("pad", (448, 192), [32, 96, 64, 128], Box(64, 64, 128, 128)),
        # The padding belongs to no picture: a box that reaches into it is cut at the edge.
        ("pad", (448, 192), [0, 0, 224, 80], Box(0, 0, 448, 32)),
        ("pad", (192, 448), [80, 0, 96, 224], Box(32, 0, 64, 448)),
        # 448x224 cropped: the middle 224 columns; a box may reach out of the crop, up to the edge of the picture.
        ("crop", (448, 224), [0, 0, 32, 32], Box(112, 0, 144, 32)),
        ("crop", (448, 224), [-200, 10, 100, 300], Box(0, 10, 212, 224)),
        ("squash", (1, 1), [0, 0, 112, 224], Box(0, 0, 0.5, 1)),
        ("pad", (1, 1000), [111, 0, 112, 224], Box(0, 0, 1, 1000)),
        ("squash", (16000, 12000), [0, 0, 223, 223], Box(0, 0, 16000 * 223 / 224, 12000 * 223 / 224)),
    ],
)
def test_boxes_are_in_the_callers_picture_and_clipped_to_it(resize, size, box, wanted):
    spec = PreprocessSpec(resize=resize, width=224, height=224)
    (found,) = decode([box], [[0.9, 0, 0]], frame=frame_of(*size, spec)).objects
    assert vars(found.box) == pytest.approx(vars(wanted), rel=1e-6)


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5, 9], [5, 9, 10, 9], [10, 10, 5, 5], [-9, 0, 0, 5], [100, 0, 120, 9], [0, 80, 9, 99], [5, 5, 9, 3]],
)
def test_boxes_without_an_area_in_the_picture_are_no_objects_and_suppress_none(box):
    found = decode([box, [0, 0, 20, 20]], [[0.9, 0, 0], [0.8, 0, 0]], {"max_detections": 1})
    assert [each.box for each in found.objects] == [Box(0, 0, 20, 20)]


def test_a_picture_with_nothing_is_an_empty_list():
    empty = {"boxes": np.zeros((1, 0, 4), np.float32), "scores": np.zeros((1, 0, 3), np.float32)}
    assert head().decode(empty, SAME, {}) == Detections(())
    masks = {"masks": np.zeros((1, 0, 7, 7), np.float32)}
    golden = outputs_of([[0, 0, 1, 1]], [[0.5] * 3], np.zeros((1, 7, 7)))
    assert head(golden=golden).decode(empty | masks, SAME, {}) == Detections(())
    assert decode([[0, 0, 9, 9]], [[0.1, 0, 0]]) == Detections(())


# Masks -------------------------------------------------------------------------------------------------------


def test_a_mask_fills_its_box_at_the_size_it_has_in_the_picture():
    left_half = np.zeros((28, 28), np.float32)
    left_half[:, :14] = 1
    mask = decode_mask(paste(left_half, np.array([10.0, 20, 30, 50]), 100, 80))
    wanted = np.zeros((80, 100), bool)
    wanted[20:50, 10:20] = True
    assert (mask == wanted).all()


def test_of_a_box_that_reaches_out_of_the_picture_the_part_in_it_is_pasted():
    """The right half of the mask is the object, and the left half of the box lies outside."""
    right_half = np.zeros((8, 8), np.float32)
    right_half[:, 4:] = 1
    mask = decode_mask(paste(right_half, np.array([-40.0, 60, 40, 100]), 100, 80))
    wanted = np.zeros((80, 100), bool)
    wanted[60:80, 0:40] = True
    assert (mask == wanted).all()


@pytest.mark.parametrize(
    "box", [[3.2, 4.7, 50.1, 61.9], [-5.5, -7.25, 20.5, 30], [40, 40, 40.3, 40.3], [9, 9, 12, 10]]
)
def test_pasting_is_bilinear_at_the_centres_of_pixels(box):
    mask = np.random.default_rng(1).random((14, 10)).astype(np.float32)
    found = decode_mask(paste(mask, np.array(box, float), 64, 64))
    for y in range(64):
        for x in range(64):
            value = plain_sample(mask, box, x + 0.5, y + 0.5)
            assert abs(value - 0.5) < 1e-5 or found[y, x] == (value >= 0.5)


def plain_sample(mask, box, x, y):
    """The mask at a point of the picture, its outermost values up to the edge of the box; 0 outside of the box."""
    if not (box[0] <= x < box[2] and box[1] <= y < box[3]):
        return 0.0
    height, width = mask.shape
    u = (x - box[0]) / (box[2] - box[0]) * width - 0.5
    v = (y - box[1]) / (box[3] - box[1]) * height - 0.5
    column, row = int(np.floor(u)), int(np.floor(v))
    columns, rows = np.clip([column, column + 1], 0, width - 1), np.clip([row, row + 1], 0, height - 1)
    across = [mask[r, columns[0]] * (1 - u + column) + mask[r, columns[1]] * (u - column) for r in rows]
    return across[0] * (1 - v + row) + across[1] * (v - row)


def test_tracing_gives_what_pasting_gives():
    rng = np.random.default_rng(4)
    for turn in range(120):
        mask = rng.random(rng.integers(1, 30, 2)).astype(np.float32)
        width, height = map(int, rng.integers(20, 200, 2))
        left, top = rng.uniform(-30, 15, 2)
        box = np.array([left, top, rng.uniform(16, 250), rng.uniform(16, 250)])
        pasted, traced = (decode_mask(way(mask, box, width, height)) for way in (paste, trace))
        assert (pasted != traced).sum() <= 1, turn  # where rounding decides


def test_many_outlines_in_a_large_picture_are_bounded():
    """A hundred objects, each as large as a picture of 49 megapixels, and then too many."""
    frame = Frame(7000, 7000, 1.0, 0.0, 1.0, 0.0, 7000, 7000)
    count = 600
    rows, columns = np.ogrid[:28, :28]
    disc = ((rows - 13.5) ** 2 + (columns - 13.5) ** 2 < 150).astype(np.float32)
    given = outputs_of([[0, 0, 7000, 7000]] * count, [[0.9, 0, 0]] * count, np.repeat(disc[None], count, axis=0))
    outlined = head(golden=given, nms_iou=1.0)
    started = time.process_time()
    found = outlined.decode(given, frame, {"max_detections": 100}).objects
    assert time.process_time() - started < 30  # pasted pixel by pixel it was two minutes
    assert len({each.mask for each in found}) == 1
    area = coco.area({"size": [7000, 7000], "counts": found[0].mask.counts.encode()})
    assert area == pytest.approx(disc.mean() * 7000**2, rel=0.02)
    with pytest.raises(InvalidRequestError, match=r"4200000 columns.*'max_detections'") as caught:
        outlined.decode(given, frame, {"max_detections": 1000})
    assert caught.value.metadata == {"parameter": "max_detections"}
    assert len(outlined.decode(given, frame, {"max_detections": 1000, "masks": False}).objects) == count


def test_masks_belong_to_their_box_and_are_left_out_where_they_are_not_wanted():
    masks = np.zeros((2, 4, 4), np.float32)
    masks[1] = 1
    given = outputs_of([[0, 0, 10, 10], [20, 30, 40, 60]], [[0.5, 0, 0], [0.9, 0, 0]], masks)
    outlined = head(golden=given)
    full, empty = (each.mask for each in outlined.decode(given, SAME, {}).objects)
    assert (full.width, full.height) == (100, 80)
    assert (decode_mask(full).sum(), decode_mask(empty).sum()) == (20 * 30, 0)
    assert coco.area({"size": [80, 100], "counts": full.counts.encode()}) == 600
    plain = outlined.decode(given, SAME, {"masks": False}).objects
    assert [each.mask for each in plain] == [None, None]


# Refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"score_threshold": 1.5}, "'score_threshold'.*less than or equal to 1"),
        ({"score_threshold": float("nan")}, "'score_threshold'.*finite"),
        ({"nms_iou": -0.1}, "'nms_iou'.*greater than or equal to 0"),
        ({"nms_iou": "much"}, "'nms_iou'.*number"),
        ({"max_detections": 0}, "'max_detections'.*greater than or equal to 1"),
        ({"max_detections": 1001}, "'max_detections'.*less than or equal to 1000"),
        ({"max_detections": 2.5}, "'max_detections'.*integer"),
        ({"classes": ["cat", "cow"]}, "'classes'.*no class 'cow'; known: cat, dog, car"),
        ({"classes": 3}, "'classes'"),
        ({"masks": True}, "'masks'.*boxes alone"),
        ({"masks": "perhaps"}, "'masks'"),
        ({"top_k": 3}, "'top_k'.*parameters of this head: score_threshold"),
    ],
)
def test_wrong_parameters_are_refused_by_their_name(params, word):
    with pytest.raises(InvalidRequestError, match=word):
        decode([[0, 0, 9, 9]], [[0.5, 0, 0]], params)


def test_where_the_graph_suppressed_boxes_a_request_cannot_have_them_back():
    assert len(decode(ROW, [[0.9, 0, 0]] * 3, largest_nms_iou=0.4).objects) == 1
    with pytest.raises(InvalidRequestError, match=r"'nms_iou': at most 0\.4"):
        decode(ROW, [[0.9, 0, 0]] * 3, {"nms_iou": 0.5}, largest_nms_iou=0.4)


@pytest.mark.parametrize(
    ("boxes", "scores", "word"),
    [
        ([[0, np.nan, 9, 9]], [[0.5, 0, 0]], "finite"),
        ([[0, 0, np.inf, 9]], [[0.5, 0, 0]], "finite"),
        ([[0, 0, 9, 9]], [[np.nan, 0, 0]], "finite"),
        ([[0, 0, 9, 9]], [[4.5, -3, 0]], "-3 to 4.5: no probabilities"),
        ([[0, 0, 9, 9]], [[0.5, 0]], r"3 label\(s\)"),
    ],
)
def test_outputs_that_are_no_answer_are_refused(boxes, scores, word):
    with pytest.raises(ModelInvalidError, match=word):
        decode(boxes, scores)


def test_a_mask_that_is_no_number_is_refused():
    given = outputs_of([[0, 0, 9, 9]], [[0.5, 0, 0]], np.full((1, 2, 2), np.nan))
    with pytest.raises(ModelInvalidError, match="finite"):
        head(golden=given).decode(given, SAME, {})


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"labels": ()}, "labels.txt"),
        ({"golden": {"boxes": np.zeros((1, 2, 4))}}, "output 'scores'"),
        ({"golden": outputs_of([[0, 0, 1, 1]], [[0.5] * 4])}, r"3 label\(s\)"),
        ({"golden": {"boxes": np.zeros((1, 2, 5)), "scores": np.zeros((1, 2, 3))}}, r"boxes \(1, 2, 5\)"),
        ({"golden": {"boxes": np.zeros((1, 2, 4)), "scores": np.zeros((1, 3, 3))}}, r"scores \(1, 3, 3\)"),
        ({"golden": outputs_of([[0, 0, 1, 1]], [[0.5] * 3], np.zeros((1, 0, 7)))}, r"masks \(1, 1, 0, 7\)"),
        ({"golden": {"boxes": np.zeros((1, 0, 4)), "scores": np.zeros((1, 0, 3))}}, "without a box"),
        ({"score_threshold": 2}, "settings.score_threshold"),
        ({"max_detections": 5000}, "settings.max_detections"),
        ({"nms_iou": 0.9, "largest_nms_iou": 0.7}, "above largest_nms_iou"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(wrong, word):
    with pytest.raises(ModelInvalidError, match=word):
        head(**wrong)
