"""Masks of segmentation data: a picture of one channel whose pixel values are class ids."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.reading import open_header, reason_of

IGNORED: Final = 255  # label of pixels that count neither in the loss nor in the metrics
UNKNOWN: Final = 254  # a value that belongs to no class; so labels are smaller
_MODES = ("L", "P", "1")


class Mask(Protocol):
    """The class of every pixel of a picture. Can be pickled."""

    def load(self, size: tuple[int, int] | None = None) -> np.ndarray:
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

    def load(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """uint8 (H, W): labels. size: (width, height) that it must have.

        Raises DataInvalidError that names the file for a mask that cannot be read, has another size, more than one
        channel or values that belong to no class.
        """
        values = self._values()
        if size is not None and values.shape[::-1] != size:
            have, want = "x".join(map(str, values.shape[::-1])), "x".join(map(str, size))
            raise DataInvalidError.at(self.name, f"the mask has {have} pixels, its picture {want}")
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

    def _values(self) -> np.ndarray:
        """uint8 (H, W)"""
        mode, values = decode_values(self.read, self.name)
        if mode not in _MODES:
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


def decode_values(read: Callable[[], bytes], name: str) -> tuple[str, np.ndarray]:
    """The mode of a mask and its values as they are, (H, W) or (H, W, C).

    read: the encoded bytes; raises OSError. Raises DataInvalidError with the name for what cannot be decoded or has
    more pixels than a picture may have.
    """
    try:
        with open_header(io.BytesIO(read())) as picture:
            picture.load()
            return picture.mode, np.array(picture)
    except (MemoryError, RecursionError):
        raise
    except OSError as error:
        reason = reason_of(error) if error.errno else "it is damaged or cut off"
    except Exception as error:  # decoders raise almost anything on damaged data
        reason = error.message if isinstance(error, DataInvalidError) else "it is damaged or cut off"
    raise DataInvalidError.at(name, f"the mask cannot be read: {reason}")
