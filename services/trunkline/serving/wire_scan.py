"""A look at the bytes of a large message before it is parsed.

Parsing copies long texts and bytes, which is quick, and makes an object of each small field, which is not: 20 MB of
small fields keep a process busy for seconds and take many times their size. So the small fields of a message are
counted first, by the encoding that protobuf documents (tag, then a varint, 4, 8, or a length and as many bytes).
"""

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from trunkline.core.errors import InvalidRequestError
from trunkline.serving.aside import LARGE_BYTES

MOST_STRUCTURE_BYTES = 1024 * 1024
_MOST_FIELDS = 20_000
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_MOST_DEPTH = 100  # as parsing allows
_PACKED_GROWTH = 8  # a packed varint takes one byte in a message and up to eight in memory
_CONTENTS = frozenset(
    {
        FieldDescriptor.TYPE_BYTES,
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_FLOAT,
        FieldDescriptor.TYPE_DOUBLE,
        FieldDescriptor.TYPE_FIXED32,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED32,
        FieldDescriptor.TYPE_SFIXED64,
    }
)


class MalformedError(Exception):
    """The bytes are no message; parsing them says so too."""


def check_structure(data: bytes, descriptor: Descriptor) -> None:
    """Refuse a message that is expensive to parse for what it holds. Nothing is said of one up to LARGE_BYTES.

    Raises InvalidRequestError where small fields take more than MOST_STRUCTURE_BYTES or are more than 20,000.
    """
    if len(data) <= LARGE_BYTES:
        return
    scan = _Scan(data)
    try:
        scan.walk(0, len(data), descriptor)
    except (MalformedError, IndexError):
        return  # parsing stops where it is malformed, after what was counted here


class _Scan:
    """Counts the small fields of one message and of the large messages in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._fields = 0
        self._small_bytes = 0
        self._depth = 0

    def walk(self, at: int, end: int, descriptor: Descriptor) -> None:
        while at < end:
            tag, at = self._varint(at)
            kind, number = tag & 7, tag >> 3
            if kind == _LENGTH:
                length, at = self._varint(at)
                if at + length > end:
                    raise MalformedError
                self._contents(at, length, descriptor.fields_by_number.get(number))
                at += length
            elif kind == _VARINT:
                _, at = self._varint(at)
                self._count(2)
            elif kind in _FIXED:
                at += _FIXED[kind]
                self._count(_FIXED[kind])
            else:  # groups, which none of our messages has: what follows is one that nobody can tell the cost of
                self._count(end - at)
                return

    def _contents(self, at: int, length: int, field: FieldDescriptor | None) -> None:
        if length <= LARGE_BYTES:
            self._count(length + 2)
        elif field is not None and field.message_type is not None:
            self._count(2)
            self._depth += 1
            if self._depth > _MOST_DEPTH:
                raise MalformedError
            self.walk(at, at + length, field.message_type)
            self._depth -= 1
        elif field is None or field.type in _CONTENTS:  # unknown fields are kept as their bytes
            self._count(2)
        else:
            self._count(length // _PACKED_GROWTH)

    def _count(self, size: int) -> None:
        self._fields += 1
        self._small_bytes += size
        if self._fields > _MOST_FIELDS or self._small_bytes > MOST_STRUCTURE_BYTES:
            raise InvalidRequestError(
                f"the request has more than {_MOST_FIELDS} fields, or more than {MOST_STRUCTURE_BYTES} bytes of them "
                "beside pictures and tensors: send less at a time",
                limit_fields=_MOST_FIELDS,
                limit_bytes=MOST_STRUCTURE_BYTES,
            )

    def _varint(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 63:
                raise MalformedError
