"""Every gRPC method of a server: messages from the descriptors, with odd fields, counts, bytes, metadata and ends."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.fuzz import messages
from tests.fuzz.busy import scale
from tests.fuzz.case import Case, unpack
from tests.fuzz.child import ROOT
from tests.fuzz.loop import Fault
from tests.fuzz.servers import GRACE_S, Watched
from tests.fuzz.values import mutated
from trunkline.api.catalog.v1 import catalog_service_pb2
from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2
from trunkline.api.oip.v2 import inference_service_pb2
from trunkline.api.training.v1 import training_service_pb2
from trunkline.api.vision.v1 import gallery_service_pb2, vision_service_pb2
from trunkline.core.repository import Repository

_GATEWAY = (
    vision_service_pb2, gallery_service_pb2, catalog_service_pb2, training_service_pb2, inference_service_pb2,
    health_pb2, reflection_pb2,
)  # fmt: skip
_NEVER = frozenset({"UNKNOWN", "INTERNAL", "DATA_LOSS"})
_CODES_NEVER = (2, 13, 15)
_LONGEST_DETAILS, _LARGEST_TRAILERS = 4096, 8192
# Each starts a process; others last until their deadline.
_RARE = {"EvaluateHead": 0.02, "CreateTrainingJob": 0.3, "Watch": 0.1, "WatchTrainingJob": 0.3}
_METADATA = (
    ("x-request-id", "a" * 200), ("x-request-id", "{}%s"), ("x-request-id", ""), ("traceparent", "00-0-0-0"),
    ("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"), ("tracestate", "a=b," * 50), ("te", "gzip"),
    ("x-request-id", "~" * 6000), ("odd-bin", b"\xff\x00"), ("grpc-tags-bin", b"\x00"), ("a", "b" * 500),
    ("user-agent", "x"),
)  # fmt: skip
_OPTIONS = [
    ("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 1 << 20),
]  # fmt: skip


def _methods(files: Sequence[Any]) -> dict[str, MethodDescriptor]:
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}": method for service in services for method in service.methods}


class Calls:
    """All methods of the services of these files."""

    def __init__(self, watched: Watched, files: Sequence[Any] = _GATEWAY) -> None:
        self._watched = watched
        self._methods = _methods(files)
        self._paths = sorted(self._methods)
        self._channel = grpc.insecure_channel(watched.server.address, options=_OPTIONS)
        self._calls = 0

    def make(self, dice: Random) -> bytes:
        path = dice.choice(self._paths)
        while dice.random() > _RARE.get(path.rpartition("/")[2], 1.0):
            path = dice.choice(self._paths)
        method = self._methods[path]
        count = dice.choice((0, 1, 1, 2, 3, 40)) if method.client_streaming else 1
        most = dice.choice((20, 20, 20, 300, 20_000))
        parts = [self._message(dice, method, most) for _ in range(count)]
        header: dict[str, Any] = {"path": path, "timeout": dice.choice((0.01, 0.3, 3.0, 3.0, 3.0, 3.0))}
        if path.rpartition("/")[2].startswith("Watch"):
            header["timeout"] = 0.3
        if dice.random() < 0.15:
            header["metadata"] = [dice.randrange(len(_METADATA)) for _ in range(dice.randint(1, 3))]
        if dice.random() < 0.05:
            header["cancel_s"] = dice.choice((0.0, 0.01, 0.1))
        return Case(header, parts).pack()

    def _message(self, dice: Random, method: MethodDescriptor, most: int) -> bytes:
        message = messages.made(dice, method.input_type, most)
        _make_likely(dice, message)
        data: bytes = message.SerializePartialToString()
        if dice.random() < 0.1:
            return mutated(dice, data)
        return dice.randbytes(dice.choice((0, 1, 30))) if dice.random() < 0.02 else data

    def check(self, data: bytes) -> Fault | None:
        case = unpack(data)
        path = case.header["path"]
        if path not in self._methods:  # of an older version
            return None
        began_at = time.monotonic()
        error, answers = self._call(case)
        took = time.monotonic() - began_at
        self._calls += 1
        name = path.rpartition("/")[2]
        fault = _wrong(name, error, answers, self._methods[path])
        if fault is None and took > case.header["timeout"] + GRACE_S * scale():
            fault = Fault(f"{name} late", f"{name} took {took:.1f} s, its deadline was {case.header['timeout']} s")
        if fault is None and (error is not None or self._calls % 200 == 0):
            code = error.code().name if error is not None else ""
            if code in ("DEADLINE_EXCEEDED", "UNAVAILABLE") or self._calls % 200 == 0:
                fault = self._watched.answers()
        return fault or self._watched.looked()

    def finish(self) -> Fault | None:
        self._channel.close()
        return self._watched.finish()

    def _call(self, case: Case) -> tuple[grpc.RpcError | None, list[bytes]]:
        """The error and the answers before it. A client that refuses to send a thing has done so for the server."""
        method = self._methods[case.header["path"]]
        kind = f"{'stream' if method.client_streaming else 'unary'}_stream"
        metadata = [_METADATA[place % len(_METADATA)] for place in case.header.get("metadata", ())]
        given: Any = iter(case.parts) if method.client_streaming else case.parts[0]
        answers: list[bytes] = []
        try:
            call = getattr(self._channel, kind)(case.header["path"])(
                given, timeout=case.header["timeout"], metadata=metadata
            )
            if "cancel_s" in case.header:
                time.sleep(case.header["cancel_s"])
                call.cancel()
            for answer in call:
                answers.append(answer)
                if len(answers) > 1000:
                    call.cancel()
        except grpc.RpcError as error:
            return error, answers
        except (ValueError, UnicodeEncodeError, TypeError):  # metadata that the client library does not send
            return None, answers
        return None, answers


def _make_likely(dice: Random, message: Message) -> None:
    """Questions of one process to another that get past the digest of the backbone, most of the time."""
    if hasattr(message, "backbone_digest") and dice.random() < 0.9:
        message.backbone_digest = _digest()
    for name in ("version", "model_version"):
        if hasattr(message, name) and isinstance(getattr(message, name), str) and dice.random() < 0.7:
            setattr(message, name, "")


@cache
def _digest() -> str:
    return Repository(ROOT / "models").backbone("efficientnet-lite0").manifest.digest


def _wrong(
    name: str, error: grpc.RpcError | None, answers: Sequence[bytes], method: MethodDescriptor
) -> Fault | None:
    if error is not None:
        code, details = error.code().name, error.details() or ""
        size = sum(len(key) + len(value) for key, value in error.trailing_metadata() or ())
        if code in _NEVER:
            return Fault(f"{name} {code} {details[:50]}", f"{name} ended with {code}: {details[:200]}")
        if len(details) > _LONGEST_DETAILS or size > _LARGEST_TRAILERS:
            return Fault(f"{name} long", f"{name}: {code} with {len(details)} characters, trailers of {size} bytes")
    for answer in answers:
        found = _inner(message_factory.GetMessageClass(method.output_type), answer)
        if found is not None:
            return Fault(f"{name} inner {found[:50]}", f"{name} answered an error within: {found[:200]}")
    return None


def _inner(kind: Any, answer: bytes) -> str | None:
    """An error of the kind that is a bug, anywhere in an answer."""
    try:
        message = kind.FromString(answer)
    except DecodeError as error:
        return f"the answer is no {kind.DESCRIPTOR.name}: {error}"
    for part in _all(message):
        if part.DESCRIPTOR.name == "HeadError" and part.code in _CODES_NEVER:
            return f"{part.code} {part.message}"
        if "internal error" in str(getattr(part, "error_message", "")):
            return str(part.error_message)
    return None


def _all(message: Message) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if isinstance(value, Message):
            yield from _all(value)
        elif isinstance(value, Mapping):
            yield from (inner for each in value.values() if isinstance(each, Message) for inner in _all(each))
        else:
            yield from (inner for each in value for inner in _all(each))


BACKBONE, HEAD = (backbone_service_pb2, health_pb2), (head_service_pb2, health_pb2)
