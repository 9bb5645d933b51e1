"""The contract of a head: what a folder under heads/ must offer to be served.

`heads/<task>/head.py` defines a class `Head` of this shape. It gets the outputs of the head's ONNX file as
numpy arrays and turns them into a result in the caller's frame; running the file, batching, transport, errors
and timings are done for it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import Frame
from trunkline.core.results import Result
from trunkline.core.text import listed

Arrays = Mapping[str, np.ndarray]


class Params(BaseModel):
    """Base of a task's request parameters: unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=Params)
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


def parse_params(model: type[P], params: Mapping[str, Any]) -> P:
    """Check request parameters against a task's model. Raises InvalidRequestError that names the parameter."""
    try:
        return model.model_validate(dict(params))
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"]) or "params"
        known = listed(model.model_fields)
        what = "there is no such one" if fault["type"] == "extra_forbidden" else fault["msg"]
        raise InvalidRequestError(
            f"parameter {name!r}: {what} (parameters of this head: {known})", parameter=name
        ) from error
