"""What waiting alone makes of arrivals: the latency that no server with so much capacity can do better than."""

import heapq

import numpy as np

from trunkline.loadtest.histograms import encoded, new_histogram, record_s
from trunkline.loadtest.schedule import poisson_arrivals


def ideal_latencies(arrivals_s: np.ndarray, capacity_per_s: float, servers: int) -> np.ndarray:
    """Latency of each call in a queue that loses nothing: float64 (calls,), seconds.

    arrivals_s: float (calls,), ascending seconds. First come, first served by `servers` that take equally long for
    every call, servers / capacity_per_s seconds (with Poisson arrivals: M/D/c). What a measured latency has above it
    is the server's own; what it shares with it comes from calls that arrive together. Raises ValueError where there
    is no capacity.
    """
    if capacity_per_s <= 0 or servers < 1:
        raise ValueError("a queue needs servers and a capacity above 0")
    takes_s = servers / capacity_per_s
    free_at = [float("-inf")] * servers
    latencies = np.empty(len(arrivals_s))  # (calls,)
    for index, arrival_s in enumerate(arrivals_s.tolist()):
        done_at = max(arrival_s, heapq.heappop(free_at)) + takes_s
        heapq.heappush(free_at, done_at)
        latencies[index] = done_at - arrival_s
    return latencies


def ideal_histogram(rate_per_s: float, seconds: float, seed: int, capacity_per_s: float, servers: int) -> str:
    """Those latencies for the arrivals of an open loop, encoded as a recorder's are."""
    histogram = new_histogram()
    for latency_s in ideal_latencies(poisson_arrivals(rate_per_s, seconds, seed), capacity_per_s, servers):
        record_s(histogram, latency_s)
    return encoded(histogram)
