"""Messages of any type, filled from their descriptors."""

from random import Random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz import values
from tests.fuzz.seeds import PICTURES

HEADS = ("imagenet", "flowers102", "camvid", "pennfudan", "pets", "digit-angle", "gallery:g1", "gallery:", "nobody")
MODELS = (*HEADS, "imagenet@1", "pets:latest", "analyze", "efficientnet-lite0")
WORDS = (
    "pooled", "image", "c2", "c5", "pixels", "UINT8", "FP32", "BYTES", "top_k", "format", "heads", "confidence_map",
    "score_threshold", "preprocess_of", "timeout", "classification", "detection", "train", "test", "squash", "pad",
    "crop", "RGB", "L", "bicubic", "shared_memory_region",
)  # fmt: skip
_NAMED = {
    "head": HEADS,
    "name": MODELS,
    "model_name": MODELS,
    "gallery": ("g1", "g2", "g3"),
    "version": ("1", "", "2"),
}
_DEEPEST = 6
_LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def made(dice: Random, descriptor: Descriptor, most: int = 40) -> Any:
    """A message with about three quarters of its fields set; lists of up to 5,000 where `most` allows it."""
    message = message_factory.GetMessageClass(descriptor)()
    _fill(dice, message, 0, most)
    return message


def _fill(dice: Random, message: Message, depth: int, most: int) -> None:
    for field in message.DESCRIPTOR.fields:
        one_of_several = field.containing_oneof is not None and not field.has_presence
        if dice.random() > (0.75 if depth < 3 else 0.4) or (one_of_several and dice.random() < 0.5):
            continue
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(dice, value, field.message_type, depth, most)
        elif field.is_repeated:
            for _ in range(_count(dice, field, most)):
                if field.message_type is None:
                    value.append(scalar(dice, field))
                elif depth < _DEEPEST:
                    _fill(dice, value.add(), depth + 1, most)
                else:
                    value.add()
        elif field.message_type is not None:
            value.SetInParent()
            if depth < _DEEPEST:
                _fill(dice, value, depth + 1, most)
        else:
            setattr(message, field.name, scalar(dice, field))


def _fill_map(dice: Random, value: Any, entry: Descriptor, depth: int, most: int) -> None:
    key, inner = entry.fields_by_name["key"], entry.fields_by_name["value"]
    for _ in range(dice.choice((0, 1, 1, 2, 5))):
        if inner.message_type is None:
            value[scalar(dice, key)] = scalar(dice, inner)
        elif depth < _DEEPEST:
            _fill(dice, value[scalar(dice, key)], depth + 1, most)


def _count(dice: Random, field: FieldDescriptor, most: int) -> int:
    few = (0, 1, 1, 1, 2, 3)
    if field.message_type is not None:
        return dice.choice(few) if dice.random() < 0.98 else min(most, 100)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return dice.choice((*few, 1280, 1280))
    return dice.choice(few) if dice.random() < 0.97 else dice.choice((most, 16, 65))


def scalar(dice: Random, field: FieldDescriptor) -> Any:
    """A value that the type of the field can hold, often one that means something in it."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _bytes_or_text(dice, field)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return dice.random() < 0.5
    if field.enum_type is not None:
        return dice.choice([*(value.number for value in field.enum_type.values), 99, -1])
    if field.cpp_type in _LIMITS:
        return values.integer(dice, *_LIMITS[field.cpp_type])
    return values.number(dice)


def _bytes_or_text(dice: Random, field: FieldDescriptor) -> bytes | str:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return dice.choice(PICTURES) if dice.random() < 0.6 else dice.randbytes(dice.choice((0, 1, 4, 16, 5120)))
    return dice.choice(_NAMED.get(field.name, WORDS)) if dice.random() < 0.6 else values.text(dice)
