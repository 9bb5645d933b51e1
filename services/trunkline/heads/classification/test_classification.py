"""Decoding of classification heads."""

from types import SimpleNamespace

import numpy as np
import pytest

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import Frame
from trunkline.heads.classification.head import Head, softmax

FRAME = Frame(10, 10, 1.0, 0.0, 1.0, 0.0, 32, 32)


def head(labels=("cat", "dog", "owl"), golden=None, **settings) -> Head:
    outputs = {"logits": np.zeros((1, 3), np.float32)} if golden is None else golden
    manifest = SimpleNamespace(name="pets", settings=settings)
    return Head(SimpleNamespace(labels=labels, path="bundle", manifest=manifest, read_golden=lambda: ({}, outputs)))


def decode(logits, params=None, **settings):
    outputs = {"logits": np.array([logits], np.float32)}
    return head(**settings).decode(outputs, FRAME, params or {}).labels


def test_labels_come_best_first():
    labels = decode([0.0, 2.0, 1.0])
    assert [label.label for label in labels] == ["dog", "owl", "cat"]
    assert [label.index for label in labels] == [1, 2, 0]
    assert sum(label.score for label in labels) == pytest.approx(1)


def test_without_top_k_five_are_answered():
    many = tuple("abcdefg")
    found = decode(range(7), labels=many, golden={"logits": np.zeros((1, 7), np.float32)})
    assert [label.label for label in found] == ["g", "f", "e", "d", "c"]


def test_a_threshold_leaves_out_what_is_less_probable():
    assert [label.label for label in decode([0.0, 2.0, 1.0], {"threshold": 0.2})] == ["dog", "owl"]


def test_top_k_is_kept_and_may_exceed_the_classes():
    assert len(decode([0.0, 2.0, 1.0], {"top_k": 2})) == 2
    assert len(decode([0.0, 2.0, 1.0], {"top_k": 50})) == 3


@pytest.mark.parametrize("params", [{"top_k": 0}, {"top_k": 2.5}, {"top_k": "x"}, {"k": 1}])
def test_wrong_parameters_are_refused(params):
    with pytest.raises(InvalidRequestError):
        decode([0.0, 1.0, 2.0], params)


def test_a_parameter_that_is_none_is_said_to_be():
    with pytest.raises(InvalidRequestError, match=r"'topk': there is no such one \(.*: top_k, threshold\)"):
        decode([0.0, 1.0, 2.0], {"topk": 3})


def test_temperature_softens_the_scores():
    assert decode([0.0, 2.0, 1.0], temperature=4.0)[0].score < decode([0.0, 2.0, 1.0])[0].score


def test_equal_logits_keep_the_order_of_the_labels():
    assert [label.index for label in decode([1.0, 1.0, 1.0])] == [0, 1, 2]


def test_large_logits_do_not_overflow():
    assert softmax(np.array([1e4, 0.0], np.float32)).tolist() == [1.0, 0.0]


def test_a_bundle_without_labels_or_with_a_wrong_temperature_is_refused():
    with pytest.raises(ModelInvalidError, match="labels"):
        head(labels=())
    with pytest.raises(ModelInvalidError, match="temperature"):
        head(temperature=0)


@pytest.mark.parametrize("labels", [("big", "green pear", "owl", "dog"), ("cat", "dog")])
def test_as_many_labels_as_outputs_and_no_others(labels):
    with pytest.raises(ModelInvalidError, match=rf"head 'pets' has {len(labels)} labels, but 3 outputs"):
        head(labels=labels)


@pytest.mark.parametrize(
    ("golden", "said"),
    [
        ({}, "needs the output 'logits' in golden.npz"),
        ({"logits": np.zeros((1, 3, 1), np.float32)}, r"has shape \[1, 3, 1\]"),
        ({"logits": np.float32(1)}, r"has shape \[\]"),
    ],
)
def test_a_golden_output_of_another_kind_is_refused(golden, said):
    with pytest.raises(ModelInvalidError, match=said):
        head(golden=golden)
