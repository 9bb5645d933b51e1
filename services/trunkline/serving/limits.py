"""The one check of how much a request holds: counts of lists, lengths of texts, numbers that are finite.

The limits stand on the fields (limit_table.py). From them a check is made for each class of message, once. It looks
at counts before contents and ends at the first fault, so what is refused costs no more than what is not.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from trunkline.api.limits.v1.limits_pb2 import Limits
from trunkline.core.errors import InvalidRequestError
from trunkline.serving.limit_table import DURATION, STRUCT, is_map, limits_of, map_key, map_value

# Looks at a value. The list has one number: how many values the parameters of the request may still have.
_Check = Callable[[Any, list[int]], None]
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_NANOS = 1_000_000_000
_LONGEST_ID = 255


def check_message(message: Message) -> None:
    """Raises InvalidRequestError where a field holds more than its limit, or a number that is not finite.

    The error names the field, what it holds and the limit, never what was sent. Bytes with a limit by a setting are
    measured where they are read, and the numbers of vectors and tensors looked at where they are used.
    """
    found = _MADE.get(type(message))
    if found is None:
        found = _MADE[type(message)] = _made(message.DESCRIPTOR)
    check, values = found
    if check is None:
        return
    try:
        check(message, [values])
    except _ExcessError as excess:
        raise InvalidRequestError(f"{excess.field} {excess.text}", field=excess.field) from None


def short_id(text: str) -> str:
    """A caller's name for an item of a stream, as its answer carries it also where the item is refused for it."""
    return text[:_LONGEST_ID]


class _ExcessError(Exception):
    """What is too much, and the path of the field, which grows on the way up."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.field = ""

    def below(self, field: str) -> "_ExcessError":
        self.field = f"{field}.{self.field}" if self.field else field
        return self


# By class of message: its check, None where nothing in it is limited, and how many values its parameters may have.
_MADE: dict[type[Message], tuple[_Check | None, int]] = {}


def _made(descriptor: Any) -> tuple[_Check | None, int]:
    maker = _Maker()
    return maker.message(descriptor), maker.most_values


class _Maker:
    """Makes the check of a message from the limits of its fields."""

    def __init__(self) -> None:
        self.most_values = 0
        self._known: dict[str, _Check | None] = {}

    def message(self, descriptor: Descriptor) -> _Check | None:
        """None where nothing in it is limited."""
        name = descriptor.full_name
        if name not in self._known:
            self._known[name] = self._later(name)
            checks = [check for field in descriptor.fields if (check := self._field(field)) is not None]
            self._known[name] = _all(checks) if checks else None
        return self._known[name]

    def _later(self, name: str) -> _Check:
        """For a message that can hold itself."""

        def check(message: Any, room: list[int]) -> None:
            known = self._known[name]
            if known is not None:
                known(message, room)

        return check

    def _field(self, field: FieldDescriptor) -> _Check | None:
        limits = limits_of(field)
        if is_map(field):
            of_text = map_key(field).type == FieldDescriptor.TYPE_STRING
            key = _length(limits.max_key_length, "characters") if of_text and limits.max_key_length else None
            return _map(field.name, limits.max_items, key, self._value(map_value(field), limits))
        if not field.is_repeated:
            check = self._value(field, limits)
            return check and _single(field.name, check, is_message=field.message_type is not None)
        # Lists of numbers may be long, and are looked at where they are used.
        check = None if field.cpp_type in _FLOATS else self._value(field, limits)
        return _list(field.name, limits.max_items, check) if check or limits.max_items else None

    def _value(self, field: FieldDescriptor, limits: Limits) -> _Check | None:
        """The check of a field's value, or of each value of a list or a map."""
        name = "" if field.message_type is None else field.message_type.full_name
        if name == STRUCT and limits.max_values:
            self.most_values = max(self.most_values, limits.max_values)
            return _struct(limits)
        if name == DURATION and limits.max_seconds:
            return _duration(limits.max_seconds)
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.type == FieldDescriptor.TYPE_STRING and limits.max_length:
            return _length(limits.max_length, "characters")
        if field.type == FieldDescriptor.TYPE_BYTES and limits.max_bytes:
            return _length(limits.max_bytes, "bytes")
        return _finite if field.cpp_type in _FLOATS else None


# Fields of a message ----------------------------------------------------------------------------------------


def _all(checks: Sequence[_Check]) -> _Check:
    if len(checks) == 1:
        return checks[0]
    held = tuple(checks)

    def check(message: Any, room: list[int]) -> None:
        for each in held:
            each(message, room)

    return check


def _single(name: str, inner: _Check, *, is_message: bool) -> _Check:
    def check(message: Any, room: list[int]) -> None:
        if is_message and not message.HasField(name):
            return
        try:
            inner(getattr(message, name), room)
        except _ExcessError as excess:
            raise excess.below(name) from None

    return check


def _list(name: str, most: int, inner: _Check | None) -> _Check:
    def check(message: Any, room: list[int]) -> None:
        items = getattr(message, name)
        count = len(items)
        if most and count > most:
            raise _too_many(count, most).below(name)
        if inner is None or not count:
            return
        place = 0
        try:
            for item in items:
                inner(item, room)
                place += 1
        except _ExcessError as excess:
            raise excess.below(f"{name}[{place}]") from None

    return check


def _map(name: str, most: int, key: _Check | None, value: _Check | None) -> _Check:
    def check(message: Any, room: list[int]) -> None:
        entries = getattr(message, name)
        count = len(entries)
        if most and count > most:
            raise _too_many(count, most).below(name)
        place = 0  # a key may be anything that a caller sent, so the path has its place
        try:
            for each in entries if count else ():
                if key is not None:
                    key(each, room)
                if value is not None:
                    value(entries[each], room)
                place += 1
        except _ExcessError as excess:
            raise excess.below(f"{name}[{place}]") from None

    return check


# Values -----------------------------------------------------------------------------------------------------


def _length(longest: int, unit: str) -> _Check:
    def check(value: Any, room: list[int]) -> None:
        if len(value) > longest:
            raise _ExcessError(f"has {len(value):,} {unit}; at most {longest:,} are allowed")

    return check


def _finite(value: float, room: list[int]) -> None:
    if not math.isfinite(value):
        raise _ExcessError("is not a finite number")


def _duration(longest_s: int) -> _Check:
    def check(duration: Any, room: list[int]) -> None:
        seconds, nanos = duration.seconds, duration.nanos
        if not (-longest_s <= seconds <= longest_s and -_NANOS < nanos < _NANOS):
            raise _ExcessError(
                f"is not a valid time: give at most {longest_s:,} seconds, and nanos of less than a second"
            )

    return check


def _struct(limits: Limits) -> _Check:
    text = _length(limits.max_length, "characters in a name or a text")
    most, deepest = limits.max_values, limits.max_depth

    def check(struct: Any, room: list[int]) -> None:
        waiting = [(struct.fields, 1)]
        while waiting:
            values, depth = waiting.pop()
            room[0] -= len(values)
            if room[0] < 0:
                raise _ExcessError(f"has too many values: all parameters of a request have at most {most:,} together")
            if depth > deepest:
                raise _ExcessError(f"is nested too deeply: lists and objects may be nested {deepest} deep")
            for each in values:
                value = each
                if isinstance(each, str):  # a name of an object
                    text(each, room)
                    value = values[each]
                kind = value.WhichOneof("kind")
                if kind == "string_value":
                    text(value.string_value, room)
                elif kind == "struct_value":
                    waiting.append((value.struct_value.fields, depth + 1))
                elif kind == "list_value":
                    waiting.append((value.list_value.values, depth + 1))

    return check


def _too_many(count: int, most: int) -> _ExcessError:
    return _ExcessError(f"has {count:,} items; at most {most:,} are allowed")
