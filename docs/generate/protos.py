"""docs/reference/protos.md, from the protos and their comments."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from docs.generate.tables import table

PROTOS = Path(__file__).parents[2] / "protos"
_INTRODUCTION = """\
# Protos

This page is generated from `protos/` by `python -m docs.generate`; the comments are those of the files. Servers have
reflection, so `grpcurl` works without the files. [Limits](limits.md) lists what each field may hold.
"""
# Numbers of fields in descriptor.proto: a comment is found by the way to its element.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_MEMBERS, _NESTED, _NESTED_ENUMS = 2, 3, 4
_Way = tuple[int, ...]


def page() -> str:
    """The page, Markdown."""
    return "\n".join([_INTRODUCTION, *(part for file in _files() for part in _File(file).sections())])


def _files() -> list[FileDescriptorProto]:
    """Our own files as the compiler reads them, with comments."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = Path(grpc_tools.__file__).with_name("_proto")
    names = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "trunkline").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/set"
        options = [f"-I{PROTOS}", f"-I{well_known}", "--include_source_info", f"--descriptor_set_out={out}"]
        if protoc.main(["protoc", *options, *names]) != 0:
            raise RuntimeError("protoc failed; its message is above")
        return list(FileDescriptorSet.FromString(Path(out).read_bytes()).file)


class _File:
    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(each.path): (each.leading_comments or each.trailing_comments).strip()
            for each in file.source_code_info.location
        }

    def sections(self) -> Iterator[str]:
        yield f"## {self._file.name}\n"
        for place, service in enumerate(self._file.service):
            yield self._service(service, (_SERVICES, place))
        for place, message in enumerate(self._file.message_type):
            yield from self._message(message, (_MESSAGES, place), message.name)
        for place, enum in enumerate(self._file.enum_type):
            yield self._enum(enum, (_ENUMS, place), enum.name)

    def _service(self, service: ServiceDescriptorProto, way: _Way) -> str:
        rows = [
            (
                f"`{each.name}`",
                f"{'stream of ' if each.client_streaming else ''}`{_short(each.input_type)}`",
                f"{'stream of ' if each.server_streaming else ''}`{_short(each.output_type)}`",
                self._comment((*way, _MEMBERS, place)),
            )
            for place, each in enumerate(service.method)
        ]
        return self._section(service.name, way, table(("method", "request", "response", "meaning"), rows))

    def _message(self, message: DescriptorProto, way: _Way, name: str) -> Iterator[str]:
        maps = {each.name for each in message.nested_type if each.options.map_entry}
        rows = [
            (f"`{each.name}`", _type(each, maps), self._comment((*way, _MEMBERS, place)))
            for place, each in enumerate(message.field)
        ]
        yield self._section(name, way, table(("field", "type", "meaning"), rows))
        for place, nested in enumerate(message.nested_type):
            if nested.name not in maps:
                yield from self._message(nested, (*way, _NESTED, place), f"{name}.{nested.name}")
        for place, enum in enumerate(message.enum_type):
            yield self._enum(enum, (*way, _NESTED_ENUMS, place), f"{name}.{enum.name}")

    def _enum(self, enum: EnumDescriptorProto, way: _Way, name: str) -> str:
        rows = [
            (f"`{each.name}`", str(each.number), self._comment((*way, _MEMBERS, place)))
            for place, each in enumerate(enum.value)
        ]
        return self._section(name, way, table(("value", "number", "meaning"), rows))

    def _section(self, name: str, way: _Way, body: str) -> str:
        return "\n\n".join(part for part in (f"### {name}", self._comment(way), body) if part) + "\n"

    def _comment(self, way: _Way) -> str:
        lines = self._comments.get(way, "").splitlines()
        return " ".join(line.strip() for line in lines).replace("<", "&lt;")


def _short(full_name: str) -> str:
    return full_name.rpartition(".")[2]


def _type(field: FieldDescriptorProto, maps: set[str]) -> str:
    name = _short(field.type_name) or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if name in maps:
        return f"map, `{name}`"
    many = field.label == FieldDescriptorProto.LABEL_REPEATED
    return f"{'list of ' if many else ''}`{name}`{', optional' if field.proto3_optional else ''}"
