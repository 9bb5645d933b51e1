"""The messages of the other servers, made from their .proto files when they are needed."""

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

PEERS = Path(__file__).parent / "peers"
OPEN_INFERENCE = PEERS / "mlserver/open_inference.proto"
HANDWRITTEN = PEERS / "handwritten/handwritten.proto"


@cache
def messages(proto: Path) -> Any:
    """Message classes by their full name, such as "inference.ModelInferRequest".

    In a pool of their own: the service under test may bring the same names itself.
    """
    compiled = _out() / f"{proto.stem}.bin"
    _protoc(proto, f"--descriptor_set_out={compiled}")
    files = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file
    return message_factory.GetMessages(files, descriptor_pool.DescriptorPool())


def generated(proto: Path) -> Path:
    """A folder with the Python modules of a proto, for PYTHONPATH."""
    _protoc(proto, f"--python_out={_out()}", f"--grpc_python_out={_out()}")
    return _out()


def _out() -> Path:
    folder = PEERS.parents[1] / "out/bench/protos"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _protoc(proto: Path, *outputs: str) -> None:
    if protoc.main(["protoc", f"-I{proto.parent}", *outputs, proto.name]) != 0:
        raise RuntimeError(f"{proto} cannot be compiled")
