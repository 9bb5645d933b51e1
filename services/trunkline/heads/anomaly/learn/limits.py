"""From which distance on something is anomalous, by good pictures that were held back."""

import math
from statistics import NormalDist

import numpy as np


def limit_of(distances: np.ndarray, false_alarms: float) -> float:
    """Of float (N,), distances of good pictures: the one that about the share `false_alarms` of others reaches.

    It is the conformal one, which on average no larger share of good pictures reaches, whatever their distribution.
    Too few pictures to say so much have none: then that of a log-normal distribution, and at least the largest.
    Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005, section 2.2.
    """
    rising = np.sort(np.maximum(distances.astype(np.float64), np.finfo(np.float32).tiny))
    place = math.ceil((len(rising) + 1) * (1 - false_alarms))
    if place <= len(rising):
        return float(np.nextafter(np.float32(rising[place - 1]), np.float32(np.inf)))
    logs = np.log(rising)
    tail = math.exp(logs.mean() + NormalDist().inv_cdf(1 - false_alarms) * logs.std())
    return float(np.nextafter(np.float32(max(tail, rising[-1])), np.float32(np.inf)))


def enough_for(false_alarms: float) -> int:
    """How many held-back pictures it takes to show a rate, without a distribution."""
    return math.ceil(1 / false_alarms) - 1
