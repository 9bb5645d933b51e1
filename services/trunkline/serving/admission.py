"""Whether a piece of work is let into a queue: bounds, and an estimate of when it would be done.

Work that would be done too late is refused before it costs anything, so that the threads spend their time on answers
that somebody still waits for. The estimate follows from what waits and from running means of how long work took.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from trunkline.core.errors import DeadlineError, QueueFullError

# What may be promised of the time that is left: running means are means, and the answer has a way back.
_REQUIRED_SHARE = 0.8
_OPTIONAL_SHARE = 0.4
_MARGIN = 1.5
_LEAST_RETRY_S = 0.01
_WEIGHT = 0.05  # of the newest piece in a running mean


class Priority(IntEnum):
    """Lower goes first: what ends a request that was begun goes before what begins one."""

    HEAD = 0
    BATCH = 1
    BACKBONE = 2

    __hash__ = int.__hash__  # an enum's own is Python, and every piece of work looks up several


class Lane(NamedTuple):
    """Where a piece waits. Lanes are served in order; within a priority, required work goes before optional."""

    priority: Priority
    optional: bool


LANES = tuple(Lane(priority, optional) for priority in Priority for optional in (False, True))


@dataclass
class PoolStats:
    """Counts since the start.

    `refused` by why: "full" (the bound), "late" (could not be done in time), "pressure" (optional work, and half of
    the bound or of the time is taken), "evicted" (optional work that made room), "over" (no time was left).
    `ended` by how: "done", "failed", "expired" (waited past its deadline), "cancelled" (while it waited).
    """

    refused: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)


class Mean:
    """A running mean; 0 while there is nothing to go by."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, newest: float) -> None:
        self.value = _mixed(self.value, newest)


class Estimate:
    """Running means of a pool with this many threads, seconds."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._mean_s = dict.fromkeys(Priority, 0.0)
        self._between_s = 0.0
        self._since_s = 0.0

    def ran(self, priority: Priority, took_s: float, *, passes_wait: bool) -> None:
        """A piece took so long. `passes_wait`: work of the last priority was waiting meanwhile."""
        self._mean_s[priority] = _mixed(self._mean_s[priority], took_s)
        if priority is Priority.BACKBONE:
            self._between_s = _mixed(self._between_s, self._since_s)
            self._since_s = 0.0
        elif passes_wait:
            self._since_s += took_s

    def mean_s(self, priority: Priority) -> float:
        """How long a piece of this priority runs; 0 while none has."""
        return self._mean_s[priority]

    def rest_s(self, priority: Priority) -> float:
        """How long a request takes from the start of this piece: it, and what usually follows it."""
        return sum(self._mean_s[each] for each in Priority if each <= priority)

    def fits(self, priority: Priority, left_s: float) -> bool:
        """Whether a piece that may start now should, with a margin, since half of all take longer than the mean."""
        return left_s >= _MARGIN * self.rest_s(priority)

    def wait_s(self, ahead: Mapping[Lane, int], running: Mapping[Priority, int], taken: int = 0) -> float:
        """Until a thread is free for a piece that has these ahead of it. taken: threads that large pieces have."""
        threads = max(1, self._threads - taken)
        waiting_s = sum(count * self._cost_s(lane.priority) for lane, count in ahead.items())
        if sum(running.values()) < threads and not waiting_s:
            return 0.0
        # A piece that runs is half done, on average.
        running_s = sum(count * self._mean_s[priority] / 2 for priority, count in running.items())
        return (waiting_s + running_s) / threads

    def _cost_s(self, priority: Priority) -> float:
        """With a pass come the heads that overtake those who wait for theirs."""
        return self._mean_s[priority] + (self._between_s if priority is Priority.BACKBONE else 0.0)


@dataclass(frozen=True)
class Load:
    """What a pool holds: pieces that wait, by lane, and pieces that run, by priority; and how many large ones run."""

    waiting: Mapping[Lane, int]
    running: Mapping[Priority, int]
    threads: int
    large: int = 0

    def held(self, priority: Priority) -> int:
        """Pieces of a priority that wait or run."""
        return sum(self.waiting[Lane(priority, optional)] for optional in (False, True)) + self.running[priority]

    @property
    def idle(self) -> bool:
        """Whether a piece would run at once."""
        return not any(self.waiting.values()) and sum(self.running.values()) + self.large < self.threads

    def ahead_of(self, lane: Lane) -> dict[Lane, int]:
        return {each: count for each, count in self.waiting.items() if each <= lane}


def check_time(load: Load, lane: Lane, estimate: Estimate, left_s: float | None) -> None:
    """Raises DeadlineError where no time is left, QueueFullError where the work would be done too late.

    Where a thread is free, work is let in whatever the means say: that is how they get right again after a bad time.
    """
    if left_s is None:
        return
    if left_s <= 0:
        raise DeadlineError("the deadline passed before the work could start")
    if load.idle:
        return
    # Optional work gives way to everything, also to what it would overtake.
    ahead = dict(load.waiting) if lane.optional else load.ahead_of(lane)
    wait_s = estimate.wait_s(ahead, load.running, load.large)
    if wait_s + estimate.rest_s(lane.priority) > share_of(left_s, optional=lane.optional):
        raise too_late(wait_s, left_s)


def share_of(left_s: float, *, optional: bool) -> float:
    """What may be promised of the time that is left."""
    return (_OPTIONAL_SHARE if optional else _REQUIRED_SHARE) * left_s


def too_late(wait_s: float, left_s: float) -> QueueFullError:
    """The error for work that cannot be done in time because of what else there is to do."""
    return QueueFullError(
        f"work for {wait_s:.2f} s is waiting, too much for the {left_s:.2f} s that this call has left",
        retry_after_s=max(wait_s, _LEAST_RETRY_S),
    )


def full(held: int, limit: int, wait_s: float) -> QueueFullError:
    """The error for work that finds the bound reached."""
    retry_after_s = max(wait_s, _LEAST_RETRY_S)
    return QueueFullError(
        f"{held} pieces of work are held, which is the limit: try again in {retry_after_s:.2f} s",
        retry_after_s=retry_after_s,
        limit=limit,
    )


def _mixed(mean: float, newest: float) -> float:
    return mean + _WEIGHT * (newest - mean) if mean else newest
