"""Scores for every place of a map to a class for every pixel of the caller's picture."""

import io
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.head import Arrays, parse_params
from trunkline.core.masks import encode_mask
from trunkline.core.preprocess import Frame
from trunkline.core.results import Segmentation, SegmentClass
from trunkline.heads.segmentation.label_map import LabelMap, label_map, softmax
from trunkline.heads.segmentation.palette import LARGEST, flat
from trunkline.heads.segmentation.params import SegmentParams
from trunkline.heads.segmentation.settings import read_palette

OUTPUT = "logits"
_COMPRESSION = 3  # of PNG: label maps are flat, more takes longer and saves little


class Head:
    """A segmenter. Its model has one output, `logits` float32 (N, classes, h, w), over the whole model input.

    h and w are free: the map may be coarser than the input.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, bundle: Bundle[HeadManifest]) -> None:
        """Raises ModelInvalidError where labels, colours or the golden output do not fit one another."""
        manifest = bundle.manifest
        self._name, self._labels = manifest.name, bundle.labels
        if not 2 <= len(self._labels) <= LARGEST:
            raise ModelInvalidError(f"{bundle.path}: a segmentation head has 2 to {LARGEST} labels")
        if manifest.preprocess.resize == "crop":
            raise ModelInvalidError(f"{bundle.path}: resize 'crop' leaves pixels unseen; use 'squash' or 'pad'")
        self._palette = flat(read_palette(manifest.settings, len(self._labels), bundle.path))
        _, golden = bundle.read_golden()
        if OUTPUT not in golden:
            raise ModelInvalidError(f"{bundle.path}: a segmentation head needs the output {OUTPUT!r} in golden.npz")
        self._check_classes(golden[OUTPUT].shape)

    def decode(self, outputs: Arrays, frame: Frame, params: Mapping[str, Any]) -> Segmentation:
        """logits (1, classes, h, w) -> label map and classes in the frame of the caller's picture.

        Raises InvalidRequestError for a parameter or the frame, ModelInvalidError where a score is no number.
        """
        asked = parse_params(SegmentParams, params)
        if not frame.shows_all:
            raise InvalidRequestError("a segmentation needs a frame in which the whole picture lies")
        logits = outputs[OUTPUT]
        self._check_classes(logits.shape)
        if not np.isfinite(logits).all():
            raise ModelInvalidError(f"head {self._name!r} gave scores that are no finite numbers", head=self._name)
        found = label_map(softmax(logits[0]), frame)
        return Segmentation(
            label_map_png=self._label_png(found.labels) if asked.format != "rle" else b"",
            classes=self._classes(found, masks=asked.format != "png"),
            confidence_map_png=_gray_png(found.confidence) if asked.confidence_map else b"",
        )

    def _classes(self, found: LabelMap, *, masks: bool) -> tuple[SegmentClass, ...]:
        """Those that occur, the largest first."""
        flat_labels = found.labels.ravel()  # (H * W,)
        counts = np.bincount(flat_labels, minlength=len(self._labels))
        sums = np.bincount(flat_labels, found.confidence.ravel(), minlength=len(self._labels))
        order = sorted(np.flatnonzero(counts).tolist(), key=lambda index: -int(counts[index]))
        return tuple(
            SegmentClass(
                index=index,
                label=self._labels[index],
                area=float(counts[index] / flat_labels.size),
                confidence=float(sums[index] / counts[index]),
                mask=encode_mask(found.labels == index) if masks else None,
            )
            for index in order
        )

    def _label_png(self, labels: np.ndarray) -> bytes:
        picture = Image.fromarray(labels)
        picture.putpalette(self._palette)
        return _png(picture)

    def _check_classes(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 4 or shape[1] != len(self._labels):
            raise ModelInvalidError(
                f"head {self._name!r} has {len(self._labels)} labels, but the output {OUTPUT!r} has shape {shape}",
                head=self._name,
            )


def _gray_png(confidence: np.ndarray) -> bytes:
    """float32 (H, W), 0 to 1 -> 8-bit gray PNG, 255 for 1."""
    return _png(Image.fromarray(np.rint(255 * np.clip(confidence, 0, 1)).astype(np.uint8)))


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue()
