"""What values tensors take on the pictures, and the 8 bits for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trunkline.training.quantize.net import IMAGE, Net, tapped

LEVELS = 255  # of unsigned 8 bits, from 0 on
_PER_PICTURE = 2000  # values of a tensor that are kept of each picture
_SHRUNK = np.linspace(1.0, 0.4, 25)  # shares of the range that are tried

Tick = Callable[[], None]


@dataclass(frozen=True)
class Spread:
    """Values of a tensor over pictures. channel_max: float32 (C,), of the absolute values. sample: float32 (n,)."""

    channel_max: np.ndarray
    sample: np.ndarray


@dataclass(frozen=True)
class Scale:
    """Unsigned 8 bits: value = (number - zero) * step."""

    step: float
    zero: int

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """The values that 8 bits can hold, nearest to these."""
        numbers = np.clip(np.rint(values / self.step) + self.zero, 0, LEVELS)
        found: np.ndarray = (numbers - self.zero) * self.step
        return found


def spreads(net: Net, tensors: Sequence[str], pictures: Sequence[np.ndarray], tick: Tick) -> dict[str, Spread]:
    """How the values of tensors, float32 (1, C, H, W), spread over pictures, uint8 (1, H, W, 3)."""
    session = tapped(net.model(), tensors)
    random = np.random.default_rng(0)
    highest: dict[str, np.ndarray] = {}
    samples: dict[str, list[np.ndarray]] = {name: [] for name in tensors}
    for picture in pictures:
        for name, value in session.run({IMAGE: picture}, tensors).items():
            found = np.abs(value).max(axis=(0, *range(2, value.ndim)))
            highest[name] = np.maximum(highest.get(name, found), found)
            samples[name].append(_some(value.ravel(), random))
        tick()
    return {name: Spread(highest[name], np.concatenate(samples[name])) for name in tensors}


def scale_of(spread: Spread, low: float = -np.inf, high: float = np.inf) -> Scale:
    """The scale within [low, high] with the least mean squared error: a rare far value may cost all others theirs."""
    least, most = min(float(spread.sample.min()), 0.0), max(float(spread.sample.max()), 1e-6)
    least, most = max(least, low), min(most, high)
    tried = [_scale(share * least, share * most) for share in _SHRUNK]
    errors = [
        float(np.mean((each.rounded(spread.sample) - np.clip(spread.sample, low, high)) ** 2)) for each in tried
    ]
    return tried[int(np.argmin(errors))]


def _scale(least: float, most: float) -> Scale:
    step = (most - least) / LEVELS
    return Scale(step, round(-least / step))


def _some(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The two ends and some between, float32."""
    chosen = random.integers(0, len(values), min(_PER_PICTURE, len(values)))
    return np.concatenate([values[chosen], [values.min(), values.max()]]).astype(np.float32)
