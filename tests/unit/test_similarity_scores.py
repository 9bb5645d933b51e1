"""What embeddings are worth, on vectors whose scores are known."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra: pip install -e '.[train]'")

from trunkline.core.comparing import probability
from trunkline.core.results import Calibration
from trunkline.heads.similarity.calibration import distances, fit_calibration, pairs_of
from trunkline.heads.similarity.few_shot import Run, few_shot_accuracy, mean_embedding_accuracy
from trunkline.heads.similarity.neighbours import nearest_others
from trunkline.heads.similarity.scores import SimilarityScores
from trunkline.heads.similarity.verification import Verification


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clusters(classes: int, each: int, noise: float, seed: int = 0, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around a random direction for each class, and their classes."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width))
    truth = np.repeat(np.arange(classes), each)
    return unit(centres[truth] + random.normal(0, noise, (len(truth), width))), truth


def scores(vectors, truth, **more) -> SimilarityScores:
    return SimilarityScores(vectors, truth, tuple(f"class {n}" for n in range(truth.max() + 1)), **more)


def test_perfect_vectors_have_perfect_scores():
    vectors, truth = clusters(6, 8, 0.01)
    found = scores(vectors, truth, reference=clusters(6, 3, 0.01, seed=1)).metrics()
    assert found["auc"] == 1
    assert found["eer"] == pytest.approx(0, abs=1e-9)
    for name in ("recall_at_1", "recall_at_5", "few_shot_accuracy", "five_shot_accuracy", "mean_embedding_accuracy"):
        assert found[name] == 1


def test_vectors_of_chance_have_the_scores_of_chance():
    random = np.random.default_rng(3)
    vectors, truth = unit(random.normal(size=(400, 16))), np.repeat(np.arange(20), 20)
    found = scores(vectors, truth).metrics()
    assert found["auc"] == pytest.approx(0.5, abs=0.03)
    assert found["eer"] == pytest.approx(0.5, abs=0.03)
    assert found["recall_at_1"] < 0.12
    assert found["few_shot_accuracy"] == pytest.approx(1 / 20, abs=0.03)


def test_the_area_and_the_equal_error_rate_are_those_of_a_curve_drawn_by_hand():
    """Three same and three different pairs, one of each on the wrong side."""
    found = Verification(np.array([0.1, 0.2, 0.9, 0.3, 1.0, 1.1]), np.array([True, True, True, False, False, False]))
    assert found.auc == pytest.approx(8 / 9)
    assert found.eer == pytest.approx(1 / 3)
    assert found.accuracy(Calibration(0.5, -1.0, 0.5)) == pytest.approx(2 / 3)


def test_all_pairs_are_taken_once_and_of_many_a_fixed_sample_with_half_of_the_same_class():
    truth = np.array([0, 0, 1, 1, 1])
    first, second, same = pairs_of(truth)
    assert (len(first), int(same.sum())) == (10, 4)
    assert (same == (truth[first] == truth[second])).all()
    many = np.repeat(np.arange(50), 20)
    first, second, same = pairs_of(many, most=4000)
    assert 3900 <= len(first) <= 4000
    assert same.sum() == 2000
    assert (same == (many[first] == many[second])).all()
    assert (first != second).all()
    assert all((one == other).all() for one, other in zip(pairs_of(many, 4000), (first, second, same), strict=True))


def test_a_calibrated_probability_says_how_often_it_is_right():
    vectors, truth = clusters(20, 20, 0.9)
    first, second, same = pairs_of(truth)
    away = distances(vectors, first, second)
    found = fit_calibration(away, same)
    assert found is not None
    assert probability(found, found.threshold) == pytest.approx(0.5, abs=1e-3)
    # Where same and different are equally many, the share of the same is the mean probability, also by bins.
    different = np.flatnonzero(~same)[: same.sum()]
    chosen = np.concatenate([np.flatnonzero(same), different])
    likely = np.array([probability(found, value) for value in away[chosen]])
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.01)):
        inside = (likely >= low) & (likely < high)
        assert likely[inside].mean() == pytest.approx(same[chosen][inside].mean(), abs=0.12)


@pytest.mark.parametrize("same", [[True, True], [False, False]])
def test_pairs_of_one_kind_calibrate_nothing(same):
    assert fit_calibration(np.array([0.1, 0.2]), np.array(same)) is None


def test_distances_that_mean_the_opposite_calibrate_nothing():
    assert fit_calibration(np.array([0.1, 0.2, 0.9, 1.0]), np.array([False, False, True, True])) is None


def test_the_nearest_others_leave_the_picture_itself_out():
    vectors = unit(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1.0]]))
    nearest, alike = nearest_others(vectors, 2)
    assert nearest[:, 0].tolist() == [1, 0, 3, 2]
    assert (alike[:, 0] >= alike[:, 1]).all()


def test_a_class_mean_knows_more_than_one_example():
    vectors, truth = clusters(20, 20, 2.0, width=64)
    one, five = few_shot_accuracy(vectors, truth, 1), few_shot_accuracy(vectors, truth, 5)
    assert one is not None
    assert five is not None
    assert 0.2 < one < five < 1
    assert few_shot_accuracy(vectors[:3], truth[:3], 5) is None


def test_the_nearest_mean_wins():
    reference = unit(np.array([[1, 0.2], [1, -0.2], [0.2, 1], [-0.2, 1]]))
    vectors = unit(np.array([[1, 0.1], [0.1, 1], [1, 0.9]]))
    labels = np.array([5, 5, 7, 7])
    assert mean_embedding_accuracy(vectors, np.array([5, 7, 7]), reference, labels) == pytest.approx(2 / 3)


def test_runs_are_counted_trial_by_trial():
    support = unit(np.eye(3))
    run = Run(support, support[[0, 1, 2, 0]], np.array([0, 1, 2, 1]))
    vectors, truth = clusters(3, 3, 0.1)
    assert scores(vectors, truth, runs=(run,)).metrics()["one_shot_runs_accuracy"] == 0.75


def test_pairs_that_the_data_names_are_those_that_count():
    vectors, truth = clusters(4, 2, 0.01)
    named = np.array([0, 2, 0]), np.array([1, 3, 5]), np.array([True, True, False])
    found = scores(vectors, truth, listed=named)
    assert found.verification is not None
    assert len(found.verification.same) == 3
    assert set(found.metrics()) == {"auc", "eer"}


def test_a_card_has_its_plots(tmp_path):
    vectors, truth = clusters(5, 6, 0.5)
    found = scores(vectors, truth, calibration=Calibration(0.9, -8.0, 7.2))
    assert "0.9000" in found.card()
    for name in found.draw(tmp_path):
        assert (tmp_path / name).stat().st_size > 1000
    best, worst = found.best_and_worst(4)
    assert len(best) == 4
    assert not set(best) & set(worst)
    assert "nearest: class" in found.caption(best[0])
