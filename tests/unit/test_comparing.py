"""How alike two embeddings are."""

import math

import pytest

from trunkline.core.comparing import compare, probability
from trunkline.core.errors import InvalidRequestError, SpaceMismatchError
from trunkline.core.results import Calibration, Embedding

CURVE = Calibration(0.5, -8.0, 4.0)


def embedding(*values, space="a", calibration=None) -> Embedding:
    return Embedding(space, values, calibration)


def test_distance_and_similarity_are_those_of_the_directions():
    found = compare(embedding(2.0, 0.0), embedding(0.0, 5.0))
    assert (found.distance, found.similarity) == (pytest.approx(math.sqrt(2)), 0.0)
    same = compare(embedding(0.1, 0.2), embedding(0.1, 0.2))
    assert (same.distance, same.similarity) == (0.0, pytest.approx(1))
    assert compare(embedding(1.0, 0.0), embedding(-1.0, 0.0)).distance == 2


def test_a_calibration_on_either_side_gives_a_probability_and_a_verdict():
    for first, second in ((CURVE, None), (None, CURVE)):
        found = compare(embedding(1.0, 0.0, calibration=first), embedding(0.9, 0.1, calibration=second))
        assert found.probability == pytest.approx(1 / (1 + math.exp(8 * found.distance - 4)))
        assert (found.threshold, found.same) == (0.5, True)
    plain = compare(embedding(1.0, 0.0), embedding(0.9, 0.1))
    assert (plain.probability, plain.threshold, plain.same) == (None, None, None)


def test_the_probability_falls_with_the_distance_and_bears_any_slope():
    rising = [probability(CURVE, distance) for distance in (2.0, 1.0, 0.5, 0.1, 0.0)]
    assert rising == sorted(rising)
    assert rising[2] == 0.5
    assert probability(Calibration(1.0, -1e6, 0.0), 2.0) == pytest.approx(0)
    assert probability(Calibration(1.0, -1e6, 2e6), 0.0) == pytest.approx(1)


def test_different_spaces_are_never_compared():
    with pytest.raises(SpaceMismatchError, match=r"'a'.*'b'"):
        compare(embedding(1.0, 0.0), embedding(1.0, 0.0, space="b"))


@pytest.mark.parametrize("values", [(0.0, 0.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, 0.0, 0.0), ()])
def test_what_is_no_vector_of_the_space_is_refused(values):
    with pytest.raises(InvalidRequestError):
        compare(embedding(1.0, 0.0), embedding(*values))
