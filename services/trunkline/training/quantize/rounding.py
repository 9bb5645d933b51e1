"""Weights in 7 bits, chosen so that the outputs change least.

7 bits, since processors without VNNI add two products of 8 bits in 16, which saturate: 2 x 255 x 64 does not.
"""

from dataclasses import dataclass

import numpy as np

HIGHEST = 64  # numbers from -64 to 64
_DAMP = 0.01  # of the mean of the diagonal
_LEAST = 1e-4  # of the largest weight: biases are counted in steps, and their numbers have 32 bits
_SHRUNK = np.linspace(1.0, 0.6, 9)


@dataclass(frozen=True)
class Rounded:
    """numbers: int8 (out, in / groups, height, width); value = number * step of its output. steps: float32 (out,).

    bias: float32 (out,).
    """

    numbers: np.ndarray
    steps: np.ndarray
    bias: np.ndarray

    @property
    def values(self) -> np.ndarray:
        found: np.ndarray = self.numbers * self.steps[:, None, None, None]
        return found


def round_rows(weights: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, int8 as `weights`, and steps (g, o).

    weights: float (g, o, k), rows of each of g groups. second: (g, k, k), second moments of their inputs. What
    rounding one weight changes is made good by those after it (Frantar et al., GPTQ, 2022).
    """
    steps = _steps(weights, np.diagonal(second, axis1=1, axis2=2))
    factor = _factor(second)
    left, numbers = weights.astype(np.float64).copy(), np.zeros(weights.shape)
    for place in range(weights.shape[2]):
        numbers[..., place] = np.clip(np.rint(left[..., place] / steps), -HIGHEST, HIGHEST)
        error = (left[..., place] - numbers[..., place] * steps) / factor[:, None, place, place]
        left[..., place:] -= error[..., None] * factor[:, None, place, place:]
    return numbers.astype(np.int8), steps


def _steps(weights: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Steps (g, o) with the least error, by how much each input matters."""
    highest = np.abs(weights).max(axis=2)
    highest = np.maximum(highest, _LEAST * max(float(highest.max()), 1e-8)) / HIGHEST
    tried = np.stack([highest * share for share in _SHRUNK])  # (tries, g, o)
    errors = np.stack([_error(weights, steps, importance) for steps in tried])
    found: np.ndarray = np.take_along_axis(tried, errors.argmin(axis=0)[None], axis=0)[0]
    return found


def _error(weights: np.ndarray, steps: np.ndarray, importance: np.ndarray) -> np.ndarray:
    numbers = np.clip(np.rint(weights / steps[..., None]), -HIGHEST, HIGHEST)
    found: np.ndarray = ((numbers * steps[..., None] - weights) ** 2 * importance[:, None]).sum(axis=2)
    return found


def _factor(second: np.ndarray) -> np.ndarray:
    """Upper Cholesky factor of the inverse of the damped second moments, (g, k, k)."""
    inverse = np.linalg.inv(damped(second, _DAMP))
    found: np.ndarray = np.linalg.cholesky(inverse).transpose(0, 2, 1)
    return found


def damped(second: np.ndarray, share: float) -> np.ndarray:
    """Second moments (g, k, k) with a share of the mean of their diagonal added to it."""
    mean = np.trace(second, axis1=1, axis2=2) / second.shape[1]
    eye = np.eye(second.shape[1])
    found: np.ndarray = second + (share * mean + 1e-8)[:, None, None] * eye
    return found
