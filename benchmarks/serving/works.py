"""Kinds of work: what is sent, which heads answer, and which bare loops stand beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.bare import Bare, FullLoop, PixelLoop, SharedLoop
from benchmarks.load.targets import Input
from benchmarks.repository import FOUR_HEADS, IMAGENET, TINY
from benchmarks.servers import Models

SHARED = "same decode, one backbone"
FULL = "Pillow's full decode, whole models"


@dataclass(frozen=True)
class Work:
    """One kind of work."""

    name: str
    title: str
    heads: tuple[str, ...]
    given: Input
    callers: tuple[int, ...] = (1, 4, 16)
    open_shares: tuple[float, ...] = (0.5, 0.8)

    def bare(self, models: Models) -> Mapping[str, Bare]:
        """The loops to compare with, by name."""
        if self.given == "pixels":
            return {SHARED: PixelLoop(models.repository, self.heads)}
        return {SHARED: SharedLoop(models.repository, self.heads), FULL: FullLoop(models.full, self.heads)}


JPEG = Work("jpeg", "One task, JPEG 500x375 in, top-5 out", (IMAGENET,), "jpeg")
TENSOR = Work("tensor", "One task, uint8 pixels (1, 224, 224, 3) in, top-5 out", (IMAGENET,), "pixels")
FOUR = Work(
    "four", "Four tasks, JPEG 500x375 in: four heads on one pass, against four whole models", FOUR_HEADS, "jpeg"
)
EMPTY = Work("empty", "Next to no model: a 32x32 JPEG, what the serving itself costs", (TINY,), "tiny", (4,), ())
WORKS: tuple[Work, ...] = (JPEG, TENSOR, FOUR, EMPTY)
# Works that the same server process does one after the other.
GROUPS: Sequence[tuple[Work, ...]] = ((JPEG, TENSOR), (FOUR,), (EMPTY,))
