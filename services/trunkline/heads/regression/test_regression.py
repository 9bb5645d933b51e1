"""Decoding of regression heads."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from trunkline.core.bundle import Bundle, write_golden
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import Frame
from trunkline.core.results import Quantity
from trunkline.heads.regression.head import Head, angle

FRAME = Frame(10, 10, 1.0, 0.0, 1.0, 0.0, 32, 32)
COUNT = {"name": "cells", "unit": "", "kind": "number", "low": 0.0, "high": 40.0}
TILT = {"name": "tilt", "unit": "deg", "kind": "angle", "low": -45.0, "high": 45.0}


@pytest.fixture
def head(tmp_path):
    """head(targets, width) -> a Head whose golden output has `width` columns, as many as are needed by default."""

    def make(targets, width=None, **settings) -> Head:
        columns = sum(2 if target["kind"] == "angle" else 1 for target in targets) if width is None else width
        write_golden(tmp_path, {"pooled": np.zeros((1, 4))}, {"values": np.ones((1, columns), np.float32)})
        return Head(bundle(tmp_path, targets=targets, **settings))

    return make


def bundle(path, **settings) -> Bundle:
    return Bundle(path, SimpleNamespace(name="h", settings=settings))


def decode(head, *values, params=None):
    return head.decode({"values": np.array([values], np.float32)}, FRAME, params or {}).values


def test_targets_come_in_their_order_with_unit_and_value(head):
    size = {"name": "size", "unit": "mm", "kind": "number", "low": 0, "high": 1}
    found = decode(head([COUNT, TILT, size]), 12.5, 0.0, -2.0, 0.25)
    assert found == (Quantity("cells", 12.5, ""), Quantity("tilt", -90.0, "deg"), Quantity("size", 0.25, "mm"))


def test_an_estimate_outside_of_the_range_is_answered_as_it_is(head):
    assert decode(head([COUNT]), -3.5) == (Quantity("cells", -3.5),)
    assert decode(head([COUNT]), 1e9)[0].value == 1e9


@pytest.mark.parametrize(
    ("degrees", "low", "high", "want"),
    [
        (30, -45, 45, 30),
        (179, -180, 180, 179),
        (-179, -180, 180, -179),
        (-179, 170, 190, 181),
        (179, -190, -170, -181),
        (-90, 0, 360, 270),
        (5, 700, 740, 725),
        (100, 0, 0, 100),
    ],
)
def test_an_angle_is_the_turn_nearest_to_the_middle_of_the_range(degrees, low, high, want):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    assert angle(cos, sin, low, high) == pytest.approx(want)


@pytest.mark.parametrize("sin", [0.0, -0.0])
def test_half_a_turn_has_one_value(sin):
    assert angle(-1.0, sin, -180, 180) == 180
    assert angle(-1.0, sin, 0, 360) == 180
    assert angle(1.0, sin, 0, 360) == 360


@pytest.mark.parametrize("length", [1e-30, 0.1, 1e30])
def test_the_length_of_the_two_columns_does_not_matter(head, length):
    assert decode(head([TILT]), length, length)[0].value == pytest.approx(45)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_number_is_never_answered(head, value, place):
    values = [1.0, 1.0, 1.0]
    values[place] = value
    with pytest.raises(ModelInvalidError, match=r"'h' gave no finite number for '(cells|tilt)'"):
        decode(head([COUNT, TILT]), *values)


def test_an_angle_without_direction_is_never_answered(head):
    with pytest.raises(ModelInvalidError, match="no direction for 'tilt'"):
        decode(head([TILT]), 0.0, -0.0)


def test_parameters_are_refused(head):
    with pytest.raises(InvalidRequestError, match="parameters of this head: none"):
        decode(head([COUNT]), 1.0, params={"top_k": 1})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"low": 50.0}, "settings.targets.0: .*low 50 is above high 40"),
        ({"kind": "class"}, "settings.targets.0.kind"),
        ({"name": ""}, "settings.targets.0.name"),
        ({"high": "many"}, "settings.targets.0.high"),
        ({"high": math.inf}, "settings.targets.0.high"),
        ({"unit": None}, "settings.targets.0.unit"),
        ({"mean": 3.0}, "settings.targets.0.mean"),
        ({"kind": "angle", "unit": "rad"}, "degrees, so its unit cannot be 'rad'"),
    ],
)
def test_a_wrong_target_is_named(head, changes, fault):
    with pytest.raises(ModelInvalidError, match=fault) as caught:
        head([COUNT | changes])
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("field", COUNT)
def test_a_missing_field_is_named(tmp_path, field):
    target = {key: value for key, value in COUNT.items() if key != field}
    with pytest.raises(ModelInvalidError, match=rf"settings\.targets\.0\.{field}: Field required"):
        Head(bundle(tmp_path, targets=[target]))


@pytest.mark.parametrize(
    ("settings", "fault"), [({}, "settings.targets: Field required"), ({"targets": []}, "least 1")]
)
def test_a_head_without_targets_is_refused(tmp_path, settings, fault):
    with pytest.raises(ModelInvalidError, match=fault):
        Head(bundle(tmp_path, **settings))


def test_a_target_named_twice_is_refused(head):
    with pytest.raises(ModelInvalidError, match="named twice: cells"):
        head([COUNT, TILT, COUNT])


def test_other_settings_are_left_alone(head):
    assert head([COUNT], dropout=0.5)


@pytest.mark.parametrize("width", [0, 1, 2, 4])
def test_a_model_of_another_width_is_refused_at_load(head, width):
    with pytest.raises(ModelInvalidError, match=r"take 3 column\(s\), .* has shape \[1, "):
        head([COUNT, TILT], width)


def test_a_model_of_another_width_is_refused_when_it_answers(head):
    with pytest.raises(ModelInvalidError, match=r"take 1 column\(s\)"):
        decode(head([COUNT]), 1.0, 2.0)


def test_golden_outputs_of_another_name_are_refused(tmp_path):
    write_golden(tmp_path, {"pooled": np.zeros((1, 4))}, {"logits": np.ones((1, 1), np.float32)})
    with pytest.raises(ModelInvalidError, match="needs the output 'values'"):
        Head(bundle(tmp_path, targets=[COUNT]))
