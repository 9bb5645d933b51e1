"""The protos of errors that clients of other languages get are those that the service writes with."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", [status_pb2, error_details_pb2])
def test_they_say_what_the_service_sends(module, tmp_path):
    name = module.DESCRIPTOR.name
    out = tmp_path / "set"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'protos'}", f"--descriptor_set_out={out}", name]
    subprocess.run(command, check=True)
    (compiled,) = FileDescriptorSet.FromString(out.read_bytes()).file
    sent = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    assert _fields(compiled) == _fields(sent) != {}


def test_python_has_no_second_copy_of_them():
    assert not (ROOT / "services/google").exists()


def test_they_carry_their_licence():
    for path in (ROOT / "protos/google").rglob("*.proto"):
        assert "Licensed under the Apache License, Version 2.0" in path.read_text()


def _fields(file: FileDescriptorProto) -> dict:
    """Name, number, type and message of each field, by the path of its message."""
    found, left = {}, [(file.package, message) for message in file.message_type]
    while left:
        path, message = left.pop()
        name = f"{path}.{message.name}"
        found[name] = {(each.name, each.number, each.type, each.label, each.type_name) for each in message.field}
        left += [(name, inner) for inner in message.nested_type]
    return found
