"""A detector in an ONNX file: what goes in and what it says of itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import STRIDE
from trunkline.training.imported import ultralytics_file
from trunkline.training.imported.layouts.layout import Resize
from trunkline.training.imported.onnx_file import has_halves, inputs_of, is_float32, properties, shape_of
from trunkline.training.imported.request import ImportRequest

_MOST_OUTPUTS = 4  # those of torchvision's nets with outlines, which are refused by what they answer


@dataclass(frozen=True)
class DetectorFile:
    """names: () where the file has none. channels: 3, or 1 for gray. batched: whether a batch axis comes first.

    class_count: where it is known beside the names, with the background. resize: how the net is trained, where the
    layout of its outputs does not say.
    """

    model: Any
    channels: int
    height: int
    width: int
    batched: bool = True
    names: tuple[str, ...] = ()
    description: str = ""
    licence: str | None = None
    is_ultralytics: bool = False
    class_count: int | None = None
    resize: Resize | None = None

    @property
    def input_name(self) -> str:
        return str(inputs_of(self.model)[0].name)

    @property
    def input_shape(self) -> tuple[int, ...]:
        plain = (self.channels, self.height, self.width)
        return (1, *plain) if self.batched else plain


def described(model: Any, request: ImportRequest) -> DetectorFile:
    """Raises ModelInvalidError for what is no detector, InvalidRequestError for a size that does not fit it."""
    file, facts = request.file, properties(model)
    ultralytics_file.check_task(facts, file)
    batched, channels, height, width = _input(model, file)
    if (height is None or width is None) and not (request.width and request.height):
        height, width = ultralytics_file.stated_size(facts, file)
    return DetectorFile(
        model=model,
        channels=channels,
        height=_agreed("height", height, request.height, file),
        width=_agreed("width", width, request.width, file),
        batched=batched,
        names=ultralytics_file.names_of(facts, file) if request.labels is None else (),
        description=ultralytics_file.description_of(facts),
        licence=ultralytics_file.licence_of(facts),
        is_ultralytics=ultralytics_file.is_from(facts),
    )


def check_side(side: str, size: int) -> int:
    """The same. Raises InvalidRequestError for one that cannot be served."""
    if size % STRIDE or not STRIDE <= size <= 4096:
        raise InvalidRequestError(
            f"{side} {size} cannot be served: export with sides that are a multiple of {STRIDE}"
        )
    return size


def _input(model: Any, file: Path) -> tuple[bool, int, int | None, int | None]:
    """Whether it has a batch axis, channels, height and width; None for what is free."""
    values = inputs_of(model)
    axes = shape_of(values[0]) if len(values) == 1 else ()
    if len(axes) not in (3, 4):
        raise ModelInvalidError(
            f"{file} does not take one picture (1, 3, height, width): export it without more inputs"
        )
    if not is_float32(values[0]) or has_halves(model):
        raise ModelInvalidError(f"{file} does not compute in float32: export it without half=True or int8=True")
    batch, channels, height, width = axes if len(axes) == 4 else (1, *axes)
    if batch not in (1, None):
        raise ModelInvalidError(f"{file} takes {batch} pictures at a time: export it with batch=1")
    if channels not in (1, 3):
        raise ModelInvalidError(f"{file} takes {channels} channels: only 3 (colour) and 1 (gray) can be served")
    outputs = len(model.graph.output)
    if not 1 <= outputs <= _MOST_OUTPUTS or outputs == 2:
        raise ModelInvalidError(
            f"{file} has {outputs} outputs; a detector of Ultralytics, YOLOX or NanoDet 1.0 has one, of torchvision "
            "three: export it with the exporter of its library"
        )
    return len(axes) == 4, channels, height, width


def _agreed(side: str, stated: int | None, wanted: int | None, file: Path) -> int:
    size = wanted or stated
    if size is None or (stated is not None and size != stated):
        raise InvalidRequestError(f"{file} has {side} {stated}, not {size}: leave --{side} out, or export it again")
    return check_side(side, size)
