"""Decoding, drawing, options and scores of keypoints heads."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from trunkline.api.vision.v1 import results_pb2
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import Frame, PreprocessSpec, frame_of
from trunkline.core.task import Canvas
from trunkline.core.tasks import task_of
from trunkline.heads.keypoints.head import Head
from trunkline.heads.keypoints.measure import scores_of
from trunkline.heads.keypoints.pairs import pairs_of
from trunkline.heads.keypoints.scores import KeypointScores
from trunkline.heads.keypoints.settings import PointSettings, sigmas_of
from trunkline.heads.keypoints.task import Keypoint, KeypointObject, Keypoints

LABELS = ("nose", "left_eye", "right_eye")
FRAME = Frame(200, 100, 200 / 64, 0.0, 100 / 32, 0.0, 64, 32)


def head(labels=LABELS, golden=(1, 3, 4), **settings) -> Head:
    outputs = {"points": np.zeros(golden, np.float32)}
    manifest = SimpleNamespace(name="faces", settings=settings)
    return Head(SimpleNamespace(labels=labels, path="bundle", manifest=manifest, read_golden=lambda: ({}, outputs)))


def decode(values, frame=FRAME, params=None, **settings) -> Keypoints:
    return head(**settings).decode({"points": np.array([values], np.float32)}, frame, params or {})


ROWS = [(0.5, 0.5, 0.9, 1.0), (0.25, 0.1, 0.5, 0.2), (1.1, -0.1, 0.1, 0.7)]


def test_points_are_in_pixels_of_the_picture_in_the_order_of_the_labels():
    (found,) = decode(ROWS, skeleton=[["nose", "left_eye"]]).objects
    assert [point.name for point in found.points] == list(LABELS)
    assert [(point.x, point.y) for point in found.points] == [
        (100, 50),
        (50, pytest.approx(10)),
        (pytest.approx(220), pytest.approx(-10)),
    ]
    assert found.score == pytest.approx(0.5)
    assert found.points[1].visibility == pytest.approx(0.2)
    assert decode(ROWS, skeleton=[["nose", "left_eye"]]).skeleton == (("nose", "left_eye"),)


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
def test_a_place_is_where_its_pixel_is_for_each_way_to_resize(resize):
    frame = frame_of(320, 200, PreprocessSpec(resize=resize, width=96, height=128))
    x, y = (100 - frame.x_offset) / frame.x_scale / 96, (60 - frame.y_offset) / frame.y_scale / 128
    point = decode([(x, y, 1, 1)] * 3, frame).objects[0].points[0]
    assert (point.x, point.y) == (pytest.approx(100, abs=1e-4), pytest.approx(60, abs=1e-4))


def test_points_below_the_threshold_are_left_out():
    (found,) = decode(ROWS, params={"score_threshold": 0.4}).objects
    assert [point.name for point in found.points] == ["nose", "left_eye"]
    assert found.score == pytest.approx(0.5)
    with pytest.raises(InvalidRequestError, match="score_threshold"):
        decode(ROWS, params={"score_threshold": 2})
    with pytest.raises(InvalidRequestError, match="'classes'"):
        decode(ROWS, params={"classes": ["nose"]})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"labels": ()}, "one point per line"),
        ({"golden": (1, 2, 4)}, r"shape \[1, 2, 4\]"),
        ({"golden": (1, 3, 3)}, r"shape \[1, 3, 3\]"),
        ({"skeleton": [["nose", "tail"]]}, "skeleton and distance name 1 point"),
        ({"skeleton": [["nose"]]}, "settings.skeleton"),
        ({"distance": ["nose", "nose"]}, "to itself"),
        ({"sigmas": [0.1]}, "1 sigmas for 3 points"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(settings, reason):
    with pytest.raises(ModelInvalidError, match=reason):
        head(**settings)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_of_the_model_must_be_sound(bad):
    with pytest.raises(ModelInvalidError, match="no sound numbers"):
        decode([(0.5, bad, 1, 1), *ROWS[1:]])
    with pytest.raises(ModelInvalidError, match="no sound numbers"):
        decode([(0.5, 0.5, 2, 1), *ROWS[1:]])


def test_an_answer_survives_the_wire_and_is_tensors_and_rows():
    task, answer = task_of("keypoints"), decode(ROWS, skeleton=[["nose", "left_eye"]])
    message = results_pb2.Keypoints()
    task.fill(message, answer)
    read = task.read(results_pb2.Keypoints.FromString(message.SerializeToString()))
    assert read.skeleton == answer.skeleton
    assert [point.name for point in read.objects[0].points] == list(LABELS)
    assert np.allclose(task.tensors_of(read)["points"], task.tensors_of(answer)["points"])
    assert task.tensors_of(answer)["names"] == list(LABELS)
    assert task.tensors_of(answer)["points"].shape == (3, 4)
    assert task.rows(answer)[0] == ("nose", "100.0", "50.0", "90.0 %", "100.0 %")
    assert task.rows(Keypoints(()))
    assert len(task.panel(answer)) == 3
    many = Keypoints((KeypointObject((answer.objects[0].points[0],) * 68, 0.5),))
    assert task.panel(many) == ["68 points: mean score 50.0 %"]


def test_points_and_lines_are_drawn_where_they_are():
    picture = Image.new("RGB", (400, 200))
    task_of("keypoints").paint(Canvas(picture, (2, 2)), decode(ROWS, skeleton=[["nose", "left_eye"]]))
    assert picture.getpixel((200, 100)) != (0, 0, 0)
    assert picture.getpixel((150, 60)) == (255, 255, 255)
    assert picture.getpixel((100, 20)) != picture.getpixel((200, 100)), "a hidden point is a ring"
    assert picture.getpixel((20, 180)) == (0, 0, 0)


def test_pairs_of_options_name_points_of_the_data():
    assert pairs_of("nose:left_eye, left_eye:right_eye", LABELS, "flip") == (
        ("nose", "left_eye"),
        ("left_eye", "right_eye"),
    )
    assert pairs_of("", LABELS, "flip") == ()
    for wrong in ("nose", "nose:nose", "nose:tail", "nose:left_eye:right_eye"):
        with pytest.raises(InvalidRequestError, match="option 'flip'"):
            pairs_of(wrong, LABELS, "flip")


def test_sigmas_are_known_for_the_bodies_of_coco_alone():
    sides = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    body = ("nose", *(f"{side}_{part}" for part in sides for side in ("left", "right")))
    assert sigmas_of(body)[:3] == (0.026, 0.025, 0.025)
    assert sigmas_of(LABELS) == ()


# Scores.


def answers_of(*objects) -> list[Keypoints]:
    """Each object is (score, places)."""
    return [
        Keypoints(
            (KeypointObject(tuple(Keypoint(n, x, y, s, 1.0) for n, (x, y) in zip(LABELS, places, strict=True)), s),)
        )
        for s, places in objects
    ]


def sample_of(places, box=(0, 0, 40, 10)):
    known = [SimpleNamespace(label=label, x=x, y=y) for label, (x, y) in places.items()]
    sides = dict(zip(("x_min", "y_min", "x_max", "y_max"), box, strict=True))
    return SimpleNamespace(points=SimpleNamespace(places=known, box=SimpleNamespace(**sides)))


TRUTH = {0: (10, 10), 1: (0, 0), 2: (20, 0)}


def scored(*objects, truths=(TRUTH,), **settings) -> KeypointScores:
    return scores_of(answers_of(*objects), [sample_of(truth) for truth in truths], LABELS, PointSettings(**settings))


def test_nme_is_a_share_of_the_distance_or_of_the_box():
    off = (0.5, [(10, 13), (0, 0), (20, 1)])
    by_eyes = scored(off, distance=("left_eye", "right_eye")).metrics()
    assert by_eyes["nme"] == pytest.approx((3 / 20 + 0 + 1 / 20) / 3)
    assert by_eyes["pck"] == pytest.approx(2 / 3)
    assert scored(off).metrics()["nme"] == pytest.approx((3 / 20 + 0 + 1 / 20) / 3), "the root of 40 by 10 is 20"


def test_points_that_are_not_labelled_do_not_count():
    found = scored((0.5, [(99, 99), (0, 0), (20, 2)]), truths=({1: (0, 0), 2: (20, 0)},))
    assert found.metrics()["nme"] == pytest.approx((0 + 2 / 20) / 2)
    assert found.oks[0] == pytest.approx((1 + np.exp(-4 / (2 * 400 * 0.1**2))) / 2)
    assert "| nose | 0 |" in found.card()
    without_unit = scored((0.5, [(10, 10)] * 3), truths=({0: (10, 10)},), distance=("left_eye", "right_eye"))
    assert "nme" not in without_unit.metrics()
    assert without_unit.metrics()["oks_ap"] == 1


def test_oks_ap_ranks_answers_by_their_score():
    right, wrong = list(TRUTH.values()), [(90, 90)] * 3
    truths = (TRUTH, TRUTH)
    assert scored((0.9, right), (0.1, right), truths=truths).metrics()["oks_ap"] == 1
    sure = scored((0.9, right), (0.1, wrong), truths=truths).metrics()["oks_ap50"]
    unsure = scored((0.1, right), (0.9, wrong), truths=truths).metrics()["oks_ap50"]
    assert sure == pytest.approx(51 / 101)
    assert unsure == pytest.approx(51 / 101 / 2)


def test_scores_are_shown(tmp_path):
    found = scored((0.9, [(10, 13), (0, 0), (20, 1)]), (0.2, [(50, 50)] * 3), truths=(TRUTH, TRUTH))
    assert found.best_and_worst(1) == ([0], [1])
    assert found.draw(tmp_path) == ["errors.png"]
    assert "NME" in found.caption(0)
    assert found.overlay(1, Image.new("RGB", (60, 60))).getpixel((50, 50)) != (0, 0, 0)
