"""Named points of an object, as data gives them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from trunkline.core.results import Box

Pair = tuple[str, str]
_SIDES: Final = (("left", "right"), ("l", "r"))
_WORDS: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Place:
    """Where a point lies, in pixels of the upright picture; it may lie outside. label: index into the names.

    seen: False for one that something hides.
    """

    label: int
    x: float
    y: float
    seen: bool = True


@dataclass(frozen=True)
class PointScheme:
    """What data says of its points beside their places, by name.

    flips: those that change places in a mirrored picture; None where nothing is known of that. skeleton: lines.
    distance: two points whose distance errors are to be shares of.
    """

    flips: tuple[Pair, ...] | None = None
    skeleton: tuple[Pair, ...] = ()
    distance: Pair | None = None


@dataclass(frozen=True)
class PointTruth:
    """The points of one object that are known, and the box of the object. Can be pickled."""

    places: tuple[Place, ...]
    box: Box
    scheme: PointScheme = PointScheme()

    def relabelled(self, labels: Sequence[int]) -> "PointTruth":
        """The same with other labels: `labels` by the old ones."""
        return replace(self, places=tuple(replace(each, label=labels[each.label]) for each in self.places))


def flips_by_name(names: Sequence[str]) -> tuple[Pair, ...] | None:
    """Pairs such as left_eye and right_eye, or l-hip and r-hip; None where no name says a side."""
    by_words = {tuple(_words(name)): name for name in names}
    found, sided = [], False
    for words, name in by_words.items():
        for left, right in _SIDES:
            if left in words:
                sided = True
                other = by_words.get(tuple(right if word == left else word for word in words))
                if other is not None:
                    found.append((name, other))
    return tuple(found) if sided else None


def _words(name: str) -> list[str]:
    """Of left_eye, Left-Eye and leftEye: left and eye."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return [word for word in _WORDS.split(apart) if word]
