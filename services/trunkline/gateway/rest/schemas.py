"""Protobuf's messages as JSON schemas, as protobuf writes them as JSON; used when openapi.json is made."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from trunkline.serving.limit_table import is_map, limits_of, map_value

Schema: TypeAlias = dict[str, Any]
_KINDS: Mapping[int, Schema] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    # Protobuf writes them as texts, since JavaScript's numbers do not hold them, and reads both.
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
}
_WIDE: Final = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$", "examples": ["1.5s"]},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "additionalProperties": True,
    },
}


class Schemas:
    """The schemas of messages and enums, by their names, with all that can lie in them."""

    def __init__(self, comments: Mapping[str, str], prefix: str = "", *, whole: bool = False) -> None:
        """`comments` has those of the protos, by full names. prefix: of the names that schemas get.

        whole: 64-bit numbers are numbers, as /v2 has them.
        """
        self.made: dict[str, Schema] = {}
        self._comments, self._prefix, self._whole = comments, prefix, whole
        self._from: dict[str, str] = {}

    def message(self, descriptor: Descriptor) -> Schema:
        """A schema for a message: a reference, or what a well-known type is in JSON."""
        known = _WELL_KNOWN.get(descriptor.full_name)
        if known is not None:
            return dict(known)
        return self._named(descriptor, self._object)

    def field(self, field: FieldDescriptor) -> Schema:
        """The schema of a field, with its comment and its limits."""
        schema = self._value_of(field)
        comment = self._comments.get(field.full_name)
        return {**schema, "description": comment} if comment else schema

    def _value_of(self, field: FieldDescriptor) -> Schema:
        limits = limits_of(field)
        if is_map(field):
            return {"type": "object", "additionalProperties": self._single(map_value(field))}
        if not field.is_repeated:
            return self._single(field)
        most = {"maxItems": limits.max_items} if limits.max_items else {}
        return {"type": "array", "items": self._single(field), **most}

    def _single(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._named(field.enum_type, self._enum)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        if field.type == FieldDescriptor.TYPE_STRING:
            longest = limits_of(field).max_length
            return {"type": "string", "maxLength": longest} if longest else {"type": "string"}
        if self._whole and field.cpp_type in _WIDE:
            return {"type": "integer", "format": "int64"}
        return dict(_KINDS[field.cpp_type])

    def _named(self, descriptor: Any, make: Callable[[Any], Schema]) -> Schema:
        name = self._prefix + descriptor.full_name.removeprefix(f"{descriptor.file.package}.")
        if self._from.setdefault(name, descriptor.full_name) != descriptor.full_name:
            raise ValueError(f"{descriptor.full_name} and {self._from[name]} would have one schema")
        if name not in self.made:
            self.made[name] = {}  # a message may hold itself
            schema = make(descriptor)
            comment = self._comments.get(descriptor.full_name)
            self.made[name].update({"description": comment, **schema} if comment else schema)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, descriptor: Descriptor) -> Schema:
        return {"type": "object", "properties": {field.name: self.field(field) for field in descriptor.fields}}

    def _enum(self, descriptor: EnumDescriptor) -> Schema:
        return {"type": "string", "enum": [value.name for value in descriptor.values]}


def comments_of(files: Iterable[FileDescriptorProto]) -> dict[str, str]:
    """The comment before each message, field, enum, service and call, in one line, by full name."""
    found = {}
    for file in files:
        for location in file.source_code_info.location:
            text = " ".join(location.leading_comments.split())
            if text and (name := _name_at(file, list(location.path))):
                found[f"{file.package}.{name}"] = text
    return found


def _name_at(file: FileDescriptorProto, path: list[int]) -> str:
    """Which element a path of numbers of fields and places leads to; empty where it is no named one."""
    at: Any = file
    names = []
    for number, place in zip(path[::2], path[1::2], strict=False):
        field = at.DESCRIPTOR.fields_by_number.get(number)
        if field is None or not field.is_repeated or field.message_type is None:
            return ""
        at = getattr(at, field.name)[place]
        if not hasattr(at, "name"):
            return ""
        names.append(at.name)
    return ".".join(names) if len(path) % 2 == 0 else ""
