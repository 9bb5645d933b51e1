"""Decoding of similarity heads."""

from types import SimpleNamespace

import numpy as np
import pytest

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.results import Calibration
from trunkline.heads.similarity.head import Head, space_of

FRAME = Frame(8, 8, 1.0, 0.0, 1.0, 0.0, 8, 8)
WHOLE = {"threshold": 0.8, "calibration": {"a": -7.0, "b": 5.6}}


def manifest(digest="a" * 64, backbone="b" * 64, width=224, **settings):
    return SimpleNamespace(
        name="things",
        digest=digest,
        backbone=SimpleNamespace(digest=backbone),
        preprocess_fingerprint=PreprocessSpec(width=width).fingerprint,
        settings=settings,
    )


def head(golden=(1, 3), output="embedding", **settings) -> Head:
    outputs = {output: np.ones(golden, np.float32)}
    return Head(SimpleNamespace(path="bundle", manifest=manifest(**settings), read_golden=lambda: ({}, outputs)))


def decode(vector, params=None, **settings):
    return head(**settings).decode({"embedding": np.array([vector], np.float32)}, FRAME, params or {})


def test_only_the_direction_of_a_vector_is_answered():
    assert decode([3.0, 0.0, 4.0]).values == pytest.approx((0.6, 0.0, 0.8))
    assert decode([3e30, 0.0, 4e30]).values == pytest.approx((0.6, 0.0, 0.8))
    assert decode([3.0, 0.0, 4.0]) == decode([6.0, 0.0, 8.0])


def test_values_are_those_of_the_wire():
    values = decode([0.1, 0.2, 0.3]).values
    assert values == tuple(np.array(values, np.float32).tolist())


def test_what_a_vector_depends_on_makes_its_space():
    spaces = [
        space_of(manifest(**change)) for change in ({}, {"digest": "c" * 64}, {"backbone": "d" * 64}, {"width": 256})
    ]
    assert len(set(spaces)) == 4
    assert all(len(space) == 16 for space in spaces)
    assert decode([1, 0, 0], threshold=0.8, calibration=WHOLE["calibration"]).space == spaces[0]


def test_the_calibration_comes_with_the_vector():
    assert decode([1, 0, 0], **WHOLE, loss="triplet").calibration == Calibration(0.8, -7.0, 5.6)
    assert decode([1, 0, 0]).calibration is None


@pytest.mark.parametrize("vector", [[0.0, 0.0, 0.0], [np.nan, 1.0, 0.0], [np.inf, 1.0, 0.0]])
def test_a_vector_without_a_direction_is_no_answer(vector):
    with pytest.raises(ModelInvalidError, match="direction"):
        decode(vector)


def test_a_parameter_is_refused():
    with pytest.raises(InvalidRequestError, match="top_k"):
        decode([1, 0, 0], {"top_k": 3})


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"golden": (1, 3, 2)}, "shape"),
        ({"output": "vector"}, "embedding"),
        ({"threshold": 0.5}, "belong together"),
        ({"threshold": 3.0, "calibration": {"a": -1, "b": 0}}, "threshold"),
        ({"threshold": 0.5, "calibration": {"a": 1, "b": 0}}, "calibration.a"),
        ({"metric": "manhattan"}, "metric"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(wrong, word):
    with pytest.raises(ModelInvalidError, match=word):
        head(**wrong)
