"""The rule by which all readers of data sets treat what is not as it should be, and what they say of it.

1. What can be understood without doubt is read, with a remark that says what was read instead.
2. What is wrong in one object or picture leaves that out, with a remark that names it.
3. What makes the whole meaningless is a fault: no classes, no pictures, ids that clash. Nothing is learned then.

Where remarks are not wanted (`--strict`), each of them is a fault. No text repeats what stands in a file; the names
of files that are there may be said.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from trunkline.core.text import shown, shown_path

_MOST_OF_A_KIND: Final = 1000
_MOST_FAULTS: Final = 10_000

Part = Literal["object", "picture"]


class Kind(StrEnum):
    """What a remark is about; constants for programs."""

    # Read otherwise than it stands there.
    ID = "id-form"
    NUMBER = "number-as-text"
    CROWD = "crowd-form"
    SIZE = "size-from-picture"
    FLAT_OUTLINE = "flat-outline"
    EMPTY_OUTLINE = "empty-outline"
    OUTLINE_PART = "outline-part"
    BOX_CUT = "box-cut"
    BOX_ORIGIN = "box-origin"
    BOX_MADE = "box-from-outline"
    KEY_POINTS = "key-points"
    POINT = "point"
    SKELETON = "skeleton"
    VOID = "box-as-void"
    BACKSLASHES = "name-backslashes"
    URL_CODED = "name-url-coded"
    UNICODE_FORM = "name-unicode-form"
    LETTER_CASE = "name-letter-case"
    PATH_END = "name-path-end"
    NAME_NOT_UTF8 = "name-not-utf8"
    STALE_NAME = "stale-filename"
    MASK_NAME = "mask-name"
    MASK_FORM = "mask-form"
    END_MARKER = "jpeg-end-marker"
    ENCODING = "text-encoding"
    SEPARATOR = "table-separator"
    SPLIT_MISSING = "split-missing"
    ROOT_CATEGORY = "root-category"
    UNUSED_TWIN = "unused-category"
    LINE_BREAK = "class-name-line-break"
    COUNT = "class-count"
    TWICE = "repeated"
    ROTATED = "turned-box"
    EMBEDDED = "embedded-picture"
    SEVERAL = "several-annotations"
    # Written otherwise than it was read.
    RENAMED = "renamed"
    SPLIT_GIVEN = "split-given"
    NOT_HELD = "not-held"
    # Left out.
    BOX = "box"
    OUTLINE = "outline"
    SHAPE = "shape"
    UNLABELLED = "not-labelled"
    CLASS = "class"
    ENTRY = "entry"
    ROW = "row"
    PICTURE_MISSING = "picture-missing"
    PICTURE_BROKEN = "picture-broken"
    PICTURE_TWICE = "picture-in-doubt"
    MASK = "mask"
    OTHER_SIZE = "other-size"
    TEXT = "annotation-file"
    UNLISTED = "not-listed"
    NO_PICTURE = "no-picture-by-name"


@dataclass(frozen=True)
class Remark:
    """where: the file, and the place in it. text: what is there, and what was read instead.

    left_out: "object" or "picture" where one was; "" for what was read.
    """

    kind: Kind
    where: str
    text: str
    left_out: Part | Literal[""] = ""

    def __str__(self) -> str:
        end = f"; the {self.left_out} is left out" if self.left_out else ""
        return f"{self.where}: {self.text}{end}"


@dataclass
class Remarks:
    """What a reader found, counted; of each kind the first 1,000 are kept, of faults the first 10,000."""

    faults: list[str] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)
    left_out: Counter[Part] = field(default_factory=Counter)
    _kept: dict[Kind, list[Remark]] = field(default_factory=lambda: defaultdict(list))

    def fault(self, where: str, reason: str) -> None:
        """What makes the whole meaningless."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(f"{shown_path(where)}: {reason}")

    def read(self, kind: Kind, where: str, text: str) -> None:
        """Something is read otherwise than it stands there."""
        self._add(Remark(kind, shown_path(where), text))

    def leave_out(self, part: Part, kind: Kind, where: str, text: str) -> None:
        """An object or a picture is not read. A row of a table is a picture, and so is a file of annotations."""
        self.left_out[part] += 1
        self._add(Remark(kind, shown_path(where), text, part))

    def rows(self) -> tuple[Remark, ...]:
        """Those that are kept, kind by kind."""
        return tuple(remark for kind in Kind for remark in self._kept.get(kind, ()))

    def total(self) -> int:
        return sum(self.counts.values())

    def first_left_out(self, part: Part) -> str:
        """The reason of one that was left out, for a message; "" where none was."""
        found = next((remark for remark in self.rows() if remark.left_out == part), None)
        return f"{found.where}: {found.text}" if found else ""

    def extend(self, others: "Remarks") -> None:
        """Add those of another reader."""
        self.faults += others.faults[: _MOST_FAULTS - len(self.faults)]
        self.counts += others.counts
        self.left_out += others.left_out
        for kind, found in others._kept.items():
            self._kept[kind] += found[: _MOST_OF_A_KIND - len(self._kept[kind])]

    def copy(self) -> "Remarks":
        """Another collection that begins with these."""
        made = Remarks()
        made.extend(self)
        return made

    def _add(self, remark: Remark) -> None:
        self.counts[remark.kind] += 1
        if len(self._kept[remark.kind]) < _MOST_OF_A_KIND:
            self._kept[remark.kind].append(remark)


def lines_of(rows: Iterable[Remark], counts: Mapping[Kind, int], most: int) -> Iterator[str]:
    """At most so many lines of each kind, and how many more there are."""
    groups: dict[Kind, list[Remark]] = defaultdict(list)
    for row in rows:
        groups[row.kind].append(row)
    for kind, found in groups.items():
        yield from (shown(row, 1000) for row in found[:most])
        more = counts[kind] - most
        if more > 0:
            yield f"and {more} more of kind {kind}"


def summary_of(total: int, left_out: Mapping[Part, int]) -> str:
    """Such as "12 remarks, 3 objects and 1 picture left out"."""
    parts = [_count(left_out[part], part) for part in ("object", "picture") if left_out.get(part)]
    end = f", {' and '.join(parts)} left out" if parts else ""
    return f"{_count(total, 'remark')}{end}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"
