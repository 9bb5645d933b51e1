"""How a classifier learns what it takes to say that a picture is like none that it learned from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from trunkline.heads.classification.head import OUTPUT, softmax
from trunkline.heads.classification.nearest import SEEN, Kept, last_vector, with_nearest, with_vector
from trunkline.heads.classification.novelty import Novelty, Spread, distance_of
from trunkline.heads.classification.task import HALF
from trunkline.heads.pictures import Completed, Inputs, Pictures
from trunkline.serving.session import OnnxSession

MOST_KEPT, DIRECTIONS = 2048, 128  # 0.5 MB in the file, and as much again for the directions of 2,048 channels
_MOST_HELD = 1024
_FEWEST = 8  # held pictures that a spread can be told from
_LEAST = 1e-6
_KNOWN = 0.75  # how likely a picture is known beforehand
_FOLD = 5  # one in so many is held back of the pictures that were learned from, where there are no others


@dataclass(frozen=True)
class Seen:
    """What a model says of pictures: vectors float32 (N, D), logits float32 (N, K), truth int64 (N,), -1 for none."""

    vectors: np.ndarray
    logits: np.ndarray
    truth: np.ndarray

    def where(self, chosen: np.ndarray) -> "Seen":
        return Seen(self.vectors[chosen], self.logits[chosen], self.truth[chosen])


@dataclass(frozen=True)
class Found:
    """near, far: AUROC; None where near could not be measured. refused: share of the held pictures called unknown."""

    novelty: Novelty
    near: float | None
    far: float
    refused: float
    held: int
    drawn: int
    learned_from_held: bool


def completed(model: bytes, settings: Mapping[str, Any], pictures: Pictures, *, several: bool) -> Completed | None:
    """The model with its second output, and the settings that it needs.

    None for a graph that does not end in a linear layer, and for too few pictures: without held ones those that were
    learned from stand for them, but not where all layers were fitted to these. several: labels a picture.
    """
    vector = last_vector(model, OUTPUT)
    if vector is None:
        return None
    session = OnnxSession(with_vector(model, vector), "the head")

    def seen(inputs: Iterable[Inputs], samples: Sequence[Any] = ()) -> Seen:
        found = [session.run(each, [SEEN, OUTPUT]) for each in inputs]
        before, logits = (np.concatenate([each[name] for each in found]) for name in (SEEN, OUTPUT))
        truth = np.full(len(logits), -1)
        for place, sample in enumerate(samples):
            truth[place] = -1 if sample.label is None else sample.label
        return Seen(before, logits, truth)

    def of(samples: Sequence[Any]) -> Seen:
        return seen(pictures.inputs(samples), samples)

    learned = _evenly(pictures.train, MOST_KEPT)
    held = _evenly(pictures.held, _MOST_HELD)
    own = len(held) < _FEWEST
    if own:
        held, learned = learned[::_FOLD], [each for place, each in enumerate(learned) if place % _FOLD]
    if len(held) < _FEWEST or not learned or (own and pictures.fits_vectors):
        return None
    kept_from = of(learned)
    kept = Kept.of(kept_from.vectors, DIRECTIONS)
    measured = _Measured(
        kept, kept_from.truth, float(settings.get("temperature", 1.0)), by_probability=not several and not own
    )
    found = replace(measured.found(of(held), seen(pictures.drawn())), learned_from_held=own)
    return Completed(
        with_nearest(model, vector, kept), {"known": found.novelty.settings()}, card(found, len(learned))
    )


@dataclass(frozen=True)
class _Measured:
    """labels: int64 (M,), of the vectors that are kept."""

    kept: Kept
    labels: np.ndarray
    temperature: float
    by_probability: bool

    def found(self, held: Seen, drawn: Seen) -> Found:
        plain = self._fitted(held)
        usual = self._novelty(plain, held)  # (N,)
        far = self._novelty(plain, drawn)
        near, near_known = self._near(held)
        strange = [each for each in (near, far) if len(each)]
        novelty = _calibrated(plain, usual, strange)
        refused = float((novelty.known(*self._signs(held)) < HALF).mean())
        return Found(
            novelty,
            auroc(near_known, near) if len(near) else None,
            auroc(usual, far),
            refused,
            len(held.truth),
            len(drawn.truth),
            False,
        )

    def _signs(self, seen: Seen, classes: np.ndarray | slice = slice(None), kept: Any = slice(None)) -> Any:
        best = softmax(seen.logits[:, classes].astype(np.float64) / self.temperature).max(axis=1)
        return best, self.kept.nearest(seen.vectors, kept)

    def _fitted(self, known: Seen, *only: Any) -> Novelty:
        best, nearest = self._signs(known, *only)
        probability = _spread(best) if self.by_probability else None
        return Novelty(_spread(distance_of(nearest)), probability, 1.0, 0.0)

    def _novelty(self, plain: Novelty, seen: Seen, *only: Any) -> np.ndarray:
        return plain.novelty(*self._signs(seen, *only))

    def _near(self, held: Seen) -> tuple[np.ndarray, np.ndarray]:
        """Novelty of pictures of classes that are taken for unknown, each half of them once, and of the others.

        Logits and vectors of the unknown classes are left out.
        """
        count = held.logits.shape[1]
        near, known = [np.empty(0)], [np.empty(0)]
        for half in range(2):
            classes = np.arange(half, count, 2)
            inside = np.isin(held.truth, classes)
            only = (classes, np.isin(self.labels, classes))
            if len(classes) < 2 or inside.sum() < _FEWEST or (~inside).sum() < _FEWEST or not only[1].any():
                continue
            plain = self._fitted(held.where(inside), *only)
            near.append(self._novelty(plain, held.where(~inside & (held.truth >= 0)), *only))
            known.append(self._novelty(plain, held.where(inside), *only))
        return np.concatenate(near), np.concatenate(known)


def _calibrated(plain: Novelty, usual: np.ndarray, strange: Sequence[np.ndarray]) -> Novelty:
    """For a quarter of unknown pictures, of each kind as many.

    Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999.
    """
    kinds = [usual, *strange]
    values = np.concatenate(kinds)
    truth = np.concatenate([np.full(len(each), place > 0) for place, each in enumerate(kinds)])
    shares = [_KNOWN] + [(1 - _KNOWN) / len(strange)] * len(strange)
    weights = np.concatenate(
        [np.full(len(each), share / len(each)) for each, share in zip(kinds, shares, strict=True)]
    )
    fitted = LogisticRegression().fit(values[:, None], truth, weights * len(values))
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return replace(plain, slope=slope, offset=offset)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Novelty of known and unknown pictures, float (N,) and (M,) -> how often an unknown one has the larger one."""
    truth = np.repeat([False, True], [len(known), len(unknown)])
    return float(roc_auc_score(truth, np.concatenate([known, unknown])))


def card(found: Found, learned: int) -> str:
    """Markdown."""
    near = "too few classes" if found.near is None else f"{found.near:.3f}"
    held = "held back of those that it learned from" if found.learned_from_held else "that it did not learn from"
    signs = (
        "the distance" if found.novelty.probability is None else "the probability of the best class and the distance"
    )
    return f"""## Unknown pictures

Answers say how likely a picture is known, by {signs} to the nearest of {learned} vectors that were kept. Of the \
{found.held} pictures {held}, {100 * found.refused:.1f} % are called unknown. The probability holds where one \
picture in four is unknown.

| unknown pictures | AUROC |
| --- | --- |
| near: each half of the classes, its logits and vectors left out | {near} |
| far: {found.drawn} drawn ones, of noise, stripes and plain colours | {found.far:.3f} |"""


def _spread(values: np.ndarray) -> Spread:
    return Spread(float(values.mean()), max(float(values.std()), _LEAST))


def _evenly(samples: Sequence[Any], most: int) -> list[Any]:
    """At most so many, of each class as many as of the others where it has them; the same each time."""
    order = np.random.default_rng(0).permutation(len(samples))
    turn: dict[Any, int] = {}
    ranked = []
    for place in order:
        label = samples[place].label
        turn[label] = turn.get(label, -1) + 1
        ranked.append((turn[label], int(place)))
    return [samples[place] for _, place in sorted(ranked)[:most]]
