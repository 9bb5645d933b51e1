"""What the gateway is asked about a picture, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trunkline.core.exchange import HeadAnswer


@dataclass(frozen=True)
class HeadRequest:
    """One head to ask. A required one fails the whole call with its error.

    budget_s: seconds from the begin of the call on; None leaves it the time of the call.
    """

    head: str
    params: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False
    budget_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one question: an answer or an error."""

    head: str
    version: str
    answer: HeadAnswer | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class Pass:
    """What was made for one backbone and preprocessing spec; times in milliseconds.

    No backbone where `backbone_ms` is 0. heads: those that it was made for, as they were asked, each with the points
    that it loses under this spec.
    """

    fingerprint: str
    queue_ms: float
    decode_ms: float
    backbone_ms: float
    backbone: str = ""
    spec: str = ""
    heads: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Analysis:
    """All outcomes, in the order asked; times in milliseconds."""

    outcomes: tuple[Outcome, ...]
    image_size: tuple[int, int] | None  # (width, height), upright; None where no pass succeeded
    passes: int
    queue_ms: float
    decode_ms: float
    backbone_ms: float
    head_ms: float
    total_ms: float
    each_pass: tuple[Pass, ...] = ()
