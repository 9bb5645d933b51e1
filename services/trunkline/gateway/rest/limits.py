"""How large the body of a request may be, by what its route takes, and what it costs meanwhile."""

from dataclasses import dataclass, replace
from typing import Self

from google.protobuf.descriptor import Descriptor

from trunkline.serving.settings import Settings

# Beside pictures, a request has names, parameters and a vector at most.
_WITHOUT_PICTURES = 1024 * 1024
# json makes an object of each value, and the GIL is held while it does: what has more of them is refused unread.
_MOST_VALUES = 20_000
MOST_NAMES = 20_000
_MOST_NUMBERS = 262_144
# A body becomes a message, and that the bytes of a call; before, JSON becomes a text, and that a picture.
_COST, _COST_OF_JSON = 2, 3


@dataclass(frozen=True)
class BodyLimit:
    """`bytes` is the limit and `setting` what raises it, empty for none.

    `values` bounds the values of JSON; None where the body is none. Each byte counts `cost` times as held.
    """

    bytes: int
    setting: str = ""
    values: int | None = None
    cost: int = 1

    @property
    def hint(self) -> str:
        """What a message on the limit adds."""
        return f" (TRUNKLINE_{self.setting})" if self.setting else ""

    def at_most(self, settings: Settings) -> Self:
        """The same, or the limit on a message where that is lower."""
        if self.bytes <= settings.max_message_bytes:
            return self
        return replace(self, bytes=settings.max_message_bytes, setting="MAX_MESSAGE_BYTES")


def json_limit(request: Descriptor, settings: Settings) -> BodyLimit:
    """For a request as JSON: its pictures in base64, and some room for the rest."""
    pictures = len(picture_fields(request))
    limit = BodyLimit(
        _WITHOUT_PICTURES + pictures * in_base64(settings.max_image_bytes),
        "MAX_IMAGE_BYTES" if pictures else "",
        _MOST_VALUES,
        _COST_OF_JSON if pictures else 1,
    )
    return limit.at_most(settings)


def picture_limit(settings: Settings) -> BodyLimit:
    """For the bytes of one picture."""
    return BodyLimit(settings.max_image_bytes, "MAX_IMAGE_BYTES", cost=_COST).at_most(settings)


def form_limit(request: Descriptor, settings: Settings) -> BodyLimit:
    """For the pictures of a request as files of a form, and some room for the rest."""
    size = _WITHOUT_PICTURES + len(picture_fields(request)) * settings.max_image_bytes
    return BodyLimit(size, "MAX_IMAGE_BYTES", cost=_COST_OF_JSON).at_most(settings)


def tensors_limit(settings: Settings) -> BodyLimit:
    """For an inference request with binary tensors."""
    return BodyLimit(settings.max_message_bytes, "MAX_MESSAGE_BYTES", cost=_COST)


def tensors_json_limit(settings: Settings) -> BodyLimit:
    """For the JSON of an inference request: as much as one picture needs, and numbers that are read soon."""
    limit = BodyLimit(
        _WITHOUT_PICTURES + in_base64(settings.max_image_bytes), "MAX_IMAGE_BYTES", _MOST_NUMBERS, _COST_OF_JSON
    )
    return limit.at_most(settings)


def picture_fields(request: Descriptor) -> list[str]:
    """Names of the fields that are pictures."""
    return [
        field.name
        for field in request.fields
        if field.message_type is not None and field.message_type.full_name == "trunkline.api.vision.v1.Image"
    ]


def in_base64(count: int) -> int:
    """Characters that so many bytes take."""
    return 4 * -(-count // 3)
