"""MNIST's own layout: pairs of gzip-compressed idx files, one of pictures and one of digits."""

import gzip
import io
import math
import zlib
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.reading import largest_annotations, open_data, unreadable
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import SPLITS

_IMAGES, _LABELS = "-images-idx3-ubyte.gz", "-labels-idx1-ubyte.gz"
_DIGITS: Final = tuple("0123456789")
# What the name of a file begins with, and its split.
_SPLIT: Final = {"train": "train", "val": "val", "test": "test", "t10k": "test"}
_UNSIGNED_BYTES = 8


def has_idx(root: Path) -> bool:
    return bool(_stems(root))


def read_idx(root: Path, remarks: Remarks) -> Dataset:
    """All pairs in the folder: train12k-… is of the split train, t10k-… of test. The pictures stay in memory.

    Raises DataInvalidError for a file that is missing, cut off or not what its name says; OSError.
    """
    stems = sorted(((_split(root, stem), stem) for stem in _stems(root)), key=lambda pair: SPLITS.index(pair[0]))
    samples = [sample for split, stem in stems for sample in _samples(root, stem, split, remarks)]
    return Dataset(root, "mnist", _DIGITS, (), tuple(samples), remarks=remarks)


def _stems(root: Path) -> list[str]:
    return sorted({path.name.removesuffix(end) for end in (_IMAGES, _LABELS) for path in root.glob(f"*{end}")})


def _split(root: Path, stem: str) -> str:
    split = next((split for start, split in _SPLIT.items() if stem.startswith(start)), None)
    if split is None:
        raise DataInvalidError.at(root / f"{stem}{_IMAGES}", f"the name begins with none of {', '.join(_SPLIT)}")
    return split


def _samples(root: Path, stem: str, split: str, remarks: Remarks) -> list[Sample]:
    images = _read_array(root / f"{stem}{_IMAGES}", 3)
    labels = _read_array(root / f"{stem}{_LABELS}", 1)
    if len(images) != len(labels):
        reason = f"{len(labels)} labels for {len(images)} pictures"
        raise DataInvalidError.at(root / f"{stem}{_LABELS}", reason)
    for place in np.flatnonzero(labels >= len(_DIGITS)).tolist():
        remarks.leave_out("picture", Kind.CLASS, f"{stem}[{place}]", "its label is no digit from 0 to 9")
    return [
        Sample(f"{stem}[{number}]", split, int(label), (), partial(to_png, image))
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
        if label < len(_DIGITS)
    ]


def to_png(image: np.ndarray) -> bytes:
    """image: uint8 (H, W)"""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _read_array(path: Path, dimensions: int) -> np.ndarray:
    """uint8 of the shape that the header says: (N, H, W) for pictures, (N,) for labels."""
    data, start = _unpacked(path), 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
        raise DataInvalidError.at(path, f"not an idx file of bytes in {dimensions} dimensions")
    shape = tuple(np.frombuffer(data, ">u4", dimensions, 4).tolist())
    if 0 in shape or len(data) - start != math.prod(shape):
        raise DataInvalidError.at(path, f"{len(data) - start} values; the header says another number")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _unpacked(path: Path) -> bytes:
    if not path.is_file():
        raise DataInvalidError.at(path, "the file is missing")
    most = largest_annotations()
    try:
        with open_data(path, most) as packed, gzip.GzipFile(fileobj=packed) as file:
            data = file.read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataInvalidError.at(path, "not gzip, or cut off") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > most:
        raise DataInvalidError.at(path, f"it has more than {most} bytes once it is unpacked")
    return data
