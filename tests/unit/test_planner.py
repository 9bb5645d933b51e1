"""Under which spec heads are answered: at their best unless the call allows less, and by what passes really cost."""

from dataclasses import replace

import pytest

from trunkline.core.bundle import FeatureSpec
from trunkline.core.errors import InvalidRequestError, NotFoundError
from trunkline.core.exchange import BackboneInfo, Features, HeadInfo
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.gateway.answers import HeadRequest
from trunkline.gateway.directory import BackboneEntry, HeadEntry
from trunkline.gateway.planner import Planner, checked_points, has_choice

SMALL = PreprocessSpec(crop_share=0.875)
WIDE = PreprocessSpec(resize="squash", width=480, height=352)
NET = BackboneInfo(
    "net",
    "1",
    "digest",
    (FeatureSpec(name="c3", channels=4, stride=8), FeatureSpec(name="pooled", channels=4, stride=0)),
)
FRAME = Frame(640, 480, 1.0, 0.0, 1.0, 0.0, 224, 224)


def head(name, spec=SMALL, features=("pooled",), task="classification", lost=()):
    """`lost`: points by spec, of its variants."""
    info = HeadInfo(name, "1", task, "d", "net/1", "digest", features, spec, "features")
    variants = tuple(replace(info, spec=each, variant=each.fingerprint, points_lost=points) for each, points in lost)
    return HeadEntry(replace(info, variants=variants), runner=None, backbone=BackboneEntry(NET, source=None))


def specs(planner, entries, points):
    questions = [(HeadRequest(entry.info.name), entry) for entry in entries]
    return [entry.info.spec for _, entry in planner.planned(questions, points)]


FAR = head("far", WIDE, ("c3",))


def test_a_head_keeps_its_own_spec_unless_the_call_allows_what_it_loses():
    near = head("near", lost=[(WIDE, 3.0)])
    for points, expected in ((None, SMALL), (0.0, SMALL), (2.9, SMALL), (3.0, WIDE), (50.0, WIDE)):
        assert specs(Planner(), [near, FAR], points) == [expected, WIDE], points
    assert specs(Planner(), [near], 50.0) == [SMALL]  # alone it is cheapest at its best


def test_a_variant_that_loses_nothing_is_as_good():
    assert specs(Planner(), [head("near", lost=[(WIDE, 0.0)]), FAR], None) == [WIDE, WIDE]


def test_embeddings_stay_in_their_space_unless_the_call_says_a_number():
    alike = head("alike", task="similarity", lost=[(WIDE, 0.0)])
    assert specs(Planner(), [alike, FAR], None) == [SMALL, WIDE]
    assert specs(Planner(), [alike, FAR], 0.0) == [WIDE, WIDE]


def test_a_head_that_cannot_be_had_stays_as_it_is():
    gone = NotFoundError("there is no head")
    near = head("near", lost=[(WIDE, 1.0)])
    planned = Planner().planned(
        [(HeadRequest("gone"), gone), (HeadRequest("near"), near), (HeadRequest("far"), FAR)], 1.0
    )
    assert planned[0][1] is gone
    assert [entry.info.spec for _, entry in planned[1:]] == [WIDE, WIDE]


def test_what_saves_next_to_nothing_changes_no_answer():
    other = PreprocessSpec(resize="squash")
    near = head("near", lost=[(other, 1.0)])
    assert specs(Planner(), [near], 5.0) == [SMALL]


def test_what_was_measured_replaces_what_pixels_tell():
    near = head("near", lost=[(WIDE, 1.0)])
    heavy = head("heavy", WIDE, ("c3",), lost=[(SMALL, 1.0)])
    planner = Planner()
    assert specs(planner, [near, heavy], 1.0) == [SMALL, SMALL]  # by their pixels
    for _ in range(20):  # a machine on which the large pass costs next to nothing, and the head less there
        planner.costs.passed("digest", WIDE, Features({}, FRAME, "digest", 0.0, 1.0, 0.5))
        planner.costs.passed("digest", SMALL, Features({}, FRAME, "digest", 0.0, 1.0, 9.0))
        planner.costs.answered(heavy.info, 0.2)
        planner.costs.answered(replace(heavy.info, spec=SMALL), 30.0)
    assert specs(planner, [near, heavy], 1.0) == [WIDE, WIDE]


def test_heads_that_are_slow_anywhere_hide_no_pass_that_can_be_saved():
    near, planner = head("near", lost=[(WIDE, 1.0)]), Planner()
    for _ in range(20):
        planner.costs.answered(FAR.info, 900.0)
    assert specs(planner, [near, FAR], 1.0) == [WIDE, WIDE]


def test_features_that_were_kept_say_nothing_and_noise_changes_no_value():
    planner = Planner()
    for _ in range(20):
        planner.costs.passed("digest", SMALL, Features({}, FRAME, "digest", 0.0, 0.0, 0.0, cached=True))
    assert planner.costs.changes == 0
    for number in range(200):
        planner.costs.answered(FAR.info, 8.0 + number % 5)
    assert planner.costs.changes == 1


def test_one_plan_serves_the_same_heads_again():
    near = head("near", lost=[(WIDE, 1.0)])
    planner = Planner()
    questions = [(HeadRequest("near"), near), (HeadRequest("far"), FAR)]
    first, second = planner.planned(questions, 1.0), planner.planned(questions, 1.0)
    assert first[0][1].info is second[0][1].info
    assert first[1][1] is FAR  # what stays as it is costs nothing


def test_calls_in_which_nothing_may_be_lost_are_not_planned():
    questions = [(HeadRequest("near"), head("near", lost=[(WIDE, 1.0)])), (HeadRequest("far"), FAR)]
    assert has_choice(questions, 1.0)
    assert not has_choice(questions, None)
    assert not has_choice(questions, 0.9)
    assert not has_choice(questions[1:], 100.0)
    assert has_choice([(HeadRequest("same"), head("same", lost=[(WIDE, 0.0)]))], None)


@pytest.mark.parametrize("points", [-1.0, 100.5, float("nan"), float("inf")])
def test_points_that_are_none_are_refused(points):
    with pytest.raises(InvalidRequestError, match="points from 0 to 100, such as 2"):
        checked_points(points)
