"""When the calls of an open loop are meant to be sent."""

import numpy as np


def poisson_arrivals(rate_per_s: float, seconds: float, seed: int) -> np.ndarray:
    """Arrival times in seconds, ascending, below `seconds`: float64 (calls,), about rate times seconds of them."""
    rng = np.random.default_rng(seed)
    room = int(rate_per_s * seconds + 10 * (rate_per_s * seconds) ** 0.5 + 10)
    times = np.cumsum(rng.exponential(1 / rate_per_s, room))  # (room,)
    return times[times < seconds]
