"""When the calls of an open loop are meant to be sent."""

import numpy as np


def poisson_arrivals(rate_per_s: float, seconds: float, seed: int) -> np.ndarray:
    """Arrival times in seconds, ascending, below `seconds`: float64 (calls,), about rate times seconds of them.

    Parts of a rate, each with a seed of its own, make together what the whole rate makes.
    """
    rng = np.random.default_rng(seed)
    room = int(rate_per_s * seconds + 10 * (rate_per_s * seconds) ** 0.5 + 10)
    times = np.cumsum(rng.exponential(1 / rate_per_s, room))  # (room,)
    return times[times < seconds]


def constant_arrivals(rate_per_s: float, seconds: float, index: int = 0, of: int = 1) -> np.ndarray:
    """Arrival times with equal gaps, from 0, below `seconds`: float64 (calls,).

    Those of part `index` of `of`: every `of`th time of the whole rate `rate_per_s`, beginning with the `index`th.
    """
    times = np.arange(index, int(np.ceil(rate_per_s * seconds)), of) / rate_per_s  # (calls,)
    return times[times < seconds]
