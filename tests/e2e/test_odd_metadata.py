"""Bytes in the metadata of a gRPC call that no client library sends."""

import socket
import struct

import pytest

from tests.conftest import Server

_LIVE = b"/inference.GRPCInferenceService/ServerLive"
ODD = [
    (b"x-request-id", b"caf\xe9"),
    (b"x-request-id", b"bell\x07"),
    (b"x-request-id", b"long" * 1000),
    (b"x-request-id-bin", b"AAEC"),
    (b"traceparent", b"\xfe\xff"),
    (b"traceparent", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"),
    (b"tracestate", b"a=\x01\xff"),
    (b"of-no-meaning", b"\xc0\x80"),
]


@pytest.mark.parametrize(("name", "value"), ODD)
def test_odd_metadata_costs_nothing_but_itself(all_in_one: Server, name: bytes, value: bytes):
    before = len(all_in_one.log)
    answer = call(all_in_one.address, (name, value))
    assert literal(b"grpc-status", b"0")[1:] in answer
    found = answer.partition(b"x-request-id")[2]
    assert found[0] == 32
    assert int(found[1:33], 16)
    assert "Traceback" not in all_in_one.log[before:]


def call(address: str, *metadata: tuple[bytes, bytes]) -> bytes:
    """What comes back to an empty request, up to the trailers."""
    host, _, port = address.rpartition(":")
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", _LIVE),
        (b":authority", b"x"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *metadata,
    ]
    block = b"".join(literal(*header) for header in headers)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
        connection.sendall(preface + frame(1, 4, 1, block) + frame(0, 1, 1, bytes(5)))
        received = b""
        while b"grpc-status" not in received or len(received.partition(b"x-request-id")[2]) < 33:
            received += connection.recv(65536)
        return received


def literal(name: bytes, value: bytes) -> bytes:
    """A header of HPACK that is not indexed, nor compressed."""
    return b"\x00" + length(len(name)) + name + length(len(value)) + value


def length(count: int) -> bytes:
    if count < 127:
        return bytes([count])
    coded, count = b"\x7f", count - 127
    while count > 127:
        coded, count = coded + bytes([count & 127 | 128]), count >> 7
    return coded + bytes([count])


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
