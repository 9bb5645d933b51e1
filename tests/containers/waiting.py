"""Waiting for what another process does."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], within_s: float, explain: Callable[[], str] = str) -> None:
    """Ask until it holds; fails after `within_s` seconds with what `explain` says."""
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, f"not within {within_s} s: {explain()}"
        time.sleep(0.1)
