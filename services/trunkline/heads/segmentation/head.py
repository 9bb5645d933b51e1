"""Scores for every place of a map to a class for every pixel of the caller's picture."""

import io
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.head import Arrays
from trunkline.core.masks import LabelRuns, encode_mask
from trunkline.core.params import parse_params
from trunkline.core.png import PngWriter
from trunkline.core.preprocess import Frame
from trunkline.core.results import RunLengthMask, Segmentation, SegmentClass
from trunkline.heads.segmentation.bands import bands, label_map
from trunkline.heads.segmentation.label_map import softmax
from trunkline.heads.segmentation.palette import LARGEST, flat
from trunkline.heads.segmentation.settings import read_palette
from trunkline.heads.segmentation.tally import Tally, gray
from trunkline.heads.segmentation.task import SegmentParams

OUTPUT = "logits"
AT_ONCE = 4_000_000  # pixels that are held as whole planes
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
        probabilities = softmax(logits[0])
        if frame.image_width * frame.image_height > AT_ONCE:
            return self._in_bands(probabilities, frame, asked)
        found = label_map(probabilities, frame)
        tally = Tally(len(self._labels))
        tally.add(found)
        return Segmentation(
            label_map_png=self._label_png(found.labels) if asked.format != "rle" else b"",
            classes=self._classes(tally, lambda index: encode_mask(found.labels == index), asked),
            confidence_map_png=_png(Image.fromarray(gray(found.confidence))) if asked.confidence_map else b"",
        )

    def answer_pixels(self, frame: Frame) -> int:
        """Pixels that an answer has, which is what a large one costs."""
        return frame.image_width * frame.image_height

    def _in_bands(self, probabilities: np.ndarray, frame: Frame, asked: SegmentParams) -> Segmentation:
        """The same pixels, in PNGs of another encoder; nothing of the size of the picture is held."""
        size = (frame.image_width, frame.image_height)
        tally = Tally(len(self._labels))
        labels = PngWriter(*size, self._palette) if asked.format != "rle" else None
        confidence = PngWriter(*size) if asked.confidence_map else None
        runs = LabelRuns(*size) if asked.format != "png" else None
        for strip in bands(probabilities, frame):
            tally.add(strip)
            if labels is not None:
                labels.add(strip.labels)
            if confidence is not None:
                confidence.add(gray(strip.confidence))
            if runs is not None:
                runs.add(strip.labels)
        masks = {} if runs is None else dict(zip(tally.order(), runs.masks(tally.order()), strict=True))
        return Segmentation(
            label_map_png=b"" if labels is None else labels.finish(),
            classes=self._classes(tally, lambda index: masks[index], asked),
            confidence_map_png=b"" if confidence is None else confidence.finish(),
        )

    def _classes(
        self, tally: Tally, mask: Callable[[int], RunLengthMask], asked: SegmentParams
    ) -> tuple[SegmentClass, ...]:
        """Those that occur, the largest first."""
        return tuple(
            SegmentClass(
                index=index,
                label=self._labels[index],
                area=tally.area(index),
                confidence=tally.confidence(index),
                mask=mask(index) if asked.format != "png" else None,
            )
            for index in tally.order()
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


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue()
