"""Messages as bytes, their large fields put behind the others: in a message each would be one more copy."""

from collections.abc import Iterable, Mapping, Sequence

from google.protobuf.message import Message

_DATA = 1  # the field of an Image


def with_pictures(message: Message, pictures: Mapping[str, Sequence[bytes]]) -> bytes:
    """The message with these pictures, each in one part or several, in fields that have none yet."""
    parts: list[bytes | memoryview] = [message.SerializeToString()]
    for name, data in pictures.items():
        parts += _field(_number(message, name), _field(_DATA, data))
    return b"".join(parts)


def with_contents(message: Message, name: str, contents: Iterable[bytes | memoryview]) -> bytes:
    """The message with these bytes in the repeated field of this name."""
    parts: list[bytes | memoryview] = [message.SerializeToString()]
    for each in contents:
        parts += _field(_number(message, name), [each])
    return b"".join(parts)


def _number(message: Message, name: str) -> int:
    return message.DESCRIPTOR.fields_by_name[name].number


def _field(number: int, pieces: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    return [_varint(number << 3 | 2) + _varint(sum(map(len, pieces))), *pieces]


def _varint(value: int) -> bytes:
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    coded.append(value)
    return bytes(coded)
