"""What is heavy is begun once: no client carries it on to the next replica where this one ends while it works on it.

A client of gRPC tries a call again by its service config until the headers of an answer have come. So whoever begins
with a picture that takes much memory sends them at once. What is refused, or waits in a server that stops, has none.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from trunkline.core.shrink import LARGE_PIXELS
from trunkline.core.weight import decode_weight
from trunkline.serving.large import is_large

_HEADER = ("trunkline-begun", "1")
_HEAVY_BYTES = 8 * 1024 * 1024  # of an encoded picture
_IMAGE = "trunkline.api.vision.v1.Image"
_FRAME = "trunkline.api.inference.v1.Frame"


@functools.cache
def heavy_check(of: Descriptor | None) -> Callable[[Any], bool]:
    """Whether a message of this type is heavy: by the picture in it, or the size of the one that it is about."""
    checks = [check for field in of.fields if (check := _check(field)) is not None] if of is not None else []
    return lambda message: any(check(message) for check in checks)


async def say_begun(context: Any) -> None:
    """Send the headers of the answer; before anything else is sent."""
    with contextlib.suppress(grpc.aio.UsageError):  # who asked has just gone
        await context.send_initial_metadata((_HEADER,))


def was_begun(error: grpc.RpcError) -> bool:
    """Whether the other side had begun with a heavy request when the call ended with this error."""
    given = error.initial_metadata() if isinstance(error, grpc.aio.AioRpcError | grpc.Call) else None
    return any(key == _HEADER[0] for key, _ in given or ())


def _check(field: FieldDescriptor) -> Callable[[Any], bool] | None:
    """Of one field; None where it says nothing of a picture."""
    name = field.name
    kind = field.message_type.full_name if field.message_type is not None else ""
    if field.is_repeated:
        return None
    if kind == _IMAGE:
        return lambda message: _is_heavy_image(getattr(message, name))
    if kind == _FRAME:
        return lambda message: _area(getattr(message, name)) > LARGE_PIXELS
    if name == "image" and field.type == FieldDescriptor.TYPE_BYTES:
        return lambda message: _is_heavy(getattr(message, name))
    return None


def _is_heavy_image(image: Any) -> bool:
    return image.ByteSize() > _HEAVY_BYTES or _is_heavy(image.data)  # its size says enough without a copy of it


def _is_heavy(picture: bytes) -> bool:
    return len(picture) > _HEAVY_BYTES or is_large(decode_weight(picture, None))


def _area(frame: Any) -> int:
    return int(frame.image_width) * int(frame.image_height)
