"""The highest rate of arrivals that holds a bound, by bisection."""

from collections.abc import Awaitable, Callable

from pydantic import BaseModel

_GROWTH = (1.3, 2.0)
_MOST_TRIES = 14


class Attempt(BaseModel):
    """A rate that was tried, and whether it held."""

    rate: float
    held: bool


class Knee(BaseModel):
    """What was found; `rate` is None where none held. Nothing was tried between it and the next one that failed."""

    bound: str = ""
    rate: float | None
    attempts: list[Attempt]


async def find_knee(
    holds: Callable[[float], Awaitable[bool]], first: float, *, lowest: float = 0.5, tolerance: float = 0.05
) -> Knee:
    """Try rates, from `first` on, until one that holds and one that does not are closer than `tolerance`, a share.

    Up by a factor of 1.3, then of 2, until a rate fails, down by halves until one holds, and then always the middle.
    Rates below `lowest` are not tried. Each try is a measurement of its own, so that near the knee chance decides.
    """
    low, high, rate = 0.0, None, max(first, lowest)
    attempts: list[Attempt] = []
    while len(attempts) < _MOST_TRIES and rate >= lowest:
        held = await holds(rate)
        attempts.append(Attempt(rate=rate, held=held))
        low, high = (rate, high) if held else (low, rate)
        if high is not None and high - low <= tolerance * high:
            break
        rate = low * _GROWTH[len(attempts) > 1] if high is None else (low + high) / 2
    return Knee(rate=low or None, attempts=attempts)
