"""A hostile case: what is done to a service, in which forms, and what must lie there before it starts."""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import grpc

Form = Literal["all in one", "split", "head alone"]
ALL_IN_ONE: Form = "all in one"
SPLIT: Form = "split"
HEAD: Form = "head alone"
WHOLE: tuple[Form, ...] = (ALL_IN_ONE, SPLIT)
Codes = Counter[str]
_LIMITS = [
    ("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), ("grpc.max_metadata_size", 1 << 20),
]  # fmt: skip


@dataclass(frozen=True)
class Where:
    """A running service: gRPC and HTTP addresses, the process that was started, its working folder, its models."""

    address: str
    http: str
    pid: int
    folder: Path
    models: Path
    seconds: float


@dataclass(frozen=True)
class Case:
    """`run` returns how often it got what. `prepare` lays files into the working folder and returns settings."""

    name: str
    run: Callable[[Where], Codes]
    forms: tuple[Form, ...] = WHOLE
    prepare: Callable[[Path], Mapping[str, str]] | None = None


def channel(address: str) -> grpc.Channel:
    """A connection of its own, without limits on the side of the caller."""
    return grpc.insecure_channel(address, options=_LIMITS)


def ask(opened: grpc.Channel, path: str, data: bytes, timeout_s: float = 30.0) -> str:
    """The code of a call with these bytes as its message."""
    try:
        opened.unary_unary(path)(data, timeout=timeout_s)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def at_once(count: int, one: Callable[[int], str]) -> Codes:
    """What `count` callers get who come at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(one, range(count)))


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def field(number: int, data: bytes) -> bytes:
    """A field of protobuf with a length."""
    return varint(number << 3 | 2) + varint(len(data)) + data


VISION = "/trunkline.api.vision.v1.VisionService/"
GALLERIES = "/trunkline.api.vision.v1.GalleryService/"
TRAINING = "/trunkline.api.training.v1.TrainingService/"
CATALOG = "/trunkline.api.catalog.v1.CatalogService/"
INFERENCE = "/inference.GRPCInferenceService/"
HEADS = "/trunkline.api.inference.v1.HeadService/"
