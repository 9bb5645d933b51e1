"""The convex problems of R-CNN, solved by scikit-learn: SVMs, ridge regression, Platt's sigmoid."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC

_COST, _POSITIVE_WEIGHT, _INTERCEPT = 1e-3, 2.0, 10.0  # as the paper's code has them
_RIDGE = 0.2  # of the number of pairs: the paper's lambda of 1000 (appendix C) at the 5,000 of a small data set
_ROUNDS = 2000
_STEEPEST = 50.0


def support_vector_machine(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights float64 (D,) and bias of a linear SVM between vectors (n, D) and (m, D), by squared hinge loss.

    Source: the paper's section 2.3; cost, weight of positives and scale of the bias are those of its published code.
    """
    vectors = np.concatenate([positives, negatives])
    labels = np.r_[np.ones(len(positives)), np.zeros(len(negatives))]
    machine = LinearSVC(
        C=_COST,
        loss="squared_hinge",
        dual=False,
        class_weight={1: _POSITIVE_WEIGHT},
        intercept_scaling=_INTERCEPT,
        max_iter=_ROUNDS,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is found so far is as good
        machine.fit(vectors, labels)
    return machine.coef_[0], float(machine.intercept_[0])


def box_regressor(vectors: np.ndarray, deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, D) and deltas (n, 4) -> weights (4, D), bias (4,). Source: the paper's appendix C."""
    if len(vectors) < 2:
        return np.zeros((4, vectors.shape[1])), np.zeros(4)
    ridge = Ridge(alpha=_RIDGE * len(vectors)).fit(vectors, deltas)
    return ridge.coef_, ridge.intercept_


def platt(decisions: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the sigmoid that turns decisions (n,) into the share that is right, bool (n,).

    Source: Platt, Probabilistic outputs for support vector machines, 1999, section 2.2, with its targets that keep a
    few samples from being taken for certain. Where all are right, or all wrong, those targets alone decide.
    """
    good, bad = int(right.sum()), int((~right).sum())
    if good + bad == 0:
        return 1.0, 0.0
    target = np.where(right, (good + 1) / (good + 2), 1 / (bad + 2))  # (n,)
    both = np.concatenate([decisions, decisions])[:, None]
    labels = np.r_[np.ones(len(target)), np.zeros(len(target))]
    fitted = LogisticRegression(C=1e4).fit(both, labels, sample_weight=np.r_[target, 1 - target])
    # A sigmoid that falls would turn the order of the decisions round.
    return float(np.clip(fitted.coef_[0, 0], 1e-2, _STEEPEST)), float(fitted.intercept_[0])
