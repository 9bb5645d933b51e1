"""The contract of a head: what a folder under heads/ must offer to be served.

`heads/<task>/head.py` defines a class `Head` of this shape. It gets the outputs of the head's ONNX file as
numpy arrays and turns them into a result in the caller's frame; running the file, batching, transport, errors
and timings are done for it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.params import Params, parse_params
from trunkline.core.preprocess import Frame
from trunkline.core.results import Result

__all__ = ["Arrays", "Params", "TaskHead", "answer_weight", "parse_params"]

Arrays = Mapping[str, np.ndarray]
_PIXEL_BYTES = 4  # as which a pixel of an answer counts, like one of a picture that is decoded


class TaskHead(Protocol):
    """One loaded head of a task.

    `task` equals the name of the folder. Made once for each bundle; called from several threads at a time, so
    it must not change after `__init__`.
    """

    task: ClassVar[str]

    def __init__(self, bundle: Bundle[HeadManifest]) -> None:
        """Read what decoding needs (labels, settings). Raises ModelInvalidError where the bundle lacks it."""
        ...

    def decode(self, outputs: Arrays, frame: Frame, params: Mapping[str, Any]) -> Result:
        """Outputs of one picture, each with a batch axis of 1, to its result.

        What takes long calls `core.steps.between_steps` now and then. A head whose work grows with the pixels of the
        caller's picture has a method `answer_pixels(frame) -> int`: large answers wait for a turn of their own.

        Raises InvalidRequestError for parameters that the task does not know or allow.
        """
        ...


def answer_weight(head: TaskHead, frame: Frame) -> int:
    """Bytes as which an answer about a picture counts; 0 where it does not grow with the picture."""
    pixels = getattr(head, "answer_pixels", None)
    return 0 if pixels is None else _PIXEL_BYTES * int(pixels(frame))
