"""Masks of segmentation data: a picture of one channel whose pixel values are class ids."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from PIL import Image

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.reading import open_header, reason_of

IGNORED: Final = 255  # label of pixels that count neither in the loss nor in the metrics
UNKNOWN: Final = 254  # a value that belongs to no class; so labels are smaller
_ONE_CHANNEL: Final = ("L", "P", "1")
_GREY: Final = ("RGB", "RGBA", "LA")  # taken where all colours are equal
_WIDE: Final = ("I", "I;16", "I;16B", "I;16L")

Note = Callable[[str], None]  # told of what was read otherwise than it stands there


def no_note(text: str) -> None:
    """Nobody is told."""


class Mask(Protocol):
    """The class of every pixel of a picture. Can be pickled."""

    def load(self, size: tuple[int, int] | None = None, note: Note = no_note) -> np.ndarray:
        """uint8 (H, W): labels, or IGNORED. size: (width, height) that it must have, or DataInvalidError."""

    def relabelled(self, labels: Sequence[int]) -> "Mask":
        """The same mask with other labels: `labels` by the old ones."""


@dataclass(frozen=True)
class MaskFile:
    """The mask of one picture. labels: label of the class, or IGNORED, by the value of a pixel.

    read: the encoded bytes, read anew at each call; raises OSError. Can be pickled.
    """

    name: str
    read: Callable[[], bytes]
    labels: Mapping[int, int]

    def load(self, size: tuple[int, int] | None = None, note: Note = no_note) -> np.ndarray:
        """uint8 (H, W): labels. size: (width, height) that it must have.

        Raises DataInvalidError that names the file for a mask that cannot be read, has another size, colours or
        values that belong to no class.
        """
        values = self._values(note)
        require_size(self.name, values, size)
        labels: np.ndarray = self._table()[values]  # (H, W)
        if (labels == UNKNOWN).any():
            unknown = sorted({int(value) for value in np.unique(values)} - set(self.labels))
            raise DataInvalidError.at(
                self.name, f"the mask holds the value {unknown[0]}, which is the id of no class"
            )
        return labels

    def relabelled(self, labels: Sequence[int]) -> "MaskFile":
        """The same mask with other labels: `labels` by the old ones."""
        changed = {value: label if label == IGNORED else labels[label] for value, label in self.labels.items()}
        return replace(self, labels=changed)

    def values_in(self) -> set[int]:
        """Those that occur; none where the mask cannot be read."""
        try:
            return set(np.unique(self._values(no_note)).tolist())
        except DataInvalidError:
            return set()

    def _values(self, note: Note) -> np.ndarray:
        """uint8 (H, W)"""
        mode, values = decode_values(self.read, self.name)
        if mode == "1" and 1 not in self.labels and self.labels.get(IGNORED, IGNORED) != IGNORED:
            note("the mask is black and white: white is read as 255")
            return values.astype(np.uint8) * 255
        if mode in _GREY and (values[..., :-1] == values[..., 1:]).all(where=_colours(mode, values)):
            note(f"the mask is a picture of mode {mode} without colours: one channel of it is read")
            return np.ascontiguousarray(values[..., 0])
        if mode in _WIDE and values.min() >= 0 and values.max() <= IGNORED:
            note("the mask has more than 8 bits and values up to 255: it is read as one of 8 bits")
        elif mode not in _ONE_CHANNEL:
            raise DataInvalidError.at(
                self.name, f"the mask is a picture of mode {mode}; class ids are one channel of 8 bits"
            )
        return values.astype(np.uint8)

    def _table(self) -> np.ndarray:
        """uint8 (256,): label by value."""
        table = np.full(256, UNKNOWN, np.uint8)
        for value, label in self.labels.items():
            table[value] = label
        return table


def require_size(name: str, values: np.ndarray, size: tuple[int, int] | None) -> None:
    """Raises DataInvalidError that names the mask where (H, W, …) is of another size than (width, height)."""
    have = values.shape[1::-1]
    if size is not None and have != size:
        mine, want = ("x".join(map(str, sides)) for sides in (have, size))
        raise DataInvalidError.at(name, f"the mask has {mine} pixels, its picture {want}")


def _colours(mode: str, values: np.ndarray) -> np.ndarray:
    """bool (1, 1, C - 1): which neighbours of (H, W, C) are both colours, so not opacity."""
    neighbours = values.shape[-1] - 1
    return np.array([mode in ("RGB",) or place < neighbours - 1 for place in range(neighbours)])[None, None]


def decode_values(read: Callable[[], bytes], name: str) -> tuple[str, np.ndarray]:
    """The mode of a mask and its values as they are, (H, W) or (H, W, C).

    read: the encoded bytes; raises OSError. Raises DataInvalidError with the name for what cannot be decoded or has
    more pixels than a picture may have.
    """
    picture = decode_picture(read, name)
    return picture.mode, np.array(picture)


def decode_picture(read: Callable[[], bytes], name: str) -> Image.Image:
    """The same as a picture. Raises as decode_values does."""
    try:
        with open_header(io.BytesIO(read())) as picture:
            picture.load()
            return picture.copy()
    except (MemoryError, RecursionError):
        raise
    except OSError as error:
        reason = reason_of(error) if error.errno else "it is damaged or cut off"
    except Exception as error:  # decoders raise almost anything on damaged data
        reason = error.message if isinstance(error, DataInvalidError) else "it is damaged or cut off"
    raise DataInvalidError.at(name, f"the mask cannot be read: {reason}")
