"""Limits on connections: how many a server takes, how long they may be idle, how many calls each has open."""

import contextlib
import resource
from pathlib import Path
from typing import Any

_STREAMS = 512  # calls of one connection at a time
# Calls that have come and that Python has not taken yet. By default gRPC begins to refuse some at 1,000, whoever they
# are from, so that one connection with many calls costs those of others.
_PENDING, _MOST_PENDING = 8192, 16384
_IDLE_S = 60  # a connection without calls is closed; clients open a new one with their next call
_HANDSHAKE_S = 10  # until a new connection has said that it speaks HTTP/2
_KEPT_SHARE = 0.25  # of the descriptors of a process, for its files and the connections that it opens itself
_LEAST = 8


def connection_options() -> list[tuple[str, Any]]:
    """Channel arguments of a server."""
    return [
        # Compressed requests are refused: they say nothing of the memory that they will take.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # What comes of a message before anybody reads it stays at 64 KiB, however fast the network is.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _MOST_PENDING),
        ("grpc.max_connection_idle_ms", 1000 * _IDLE_S),
        ("grpc.server_handshake_timeout_ms", 1000 * _HANDSHAKE_S),
        ("grpc.max_allowed_incoming_connections", most_connections()),
    ]


def most_connections() -> int:
    """How many connections a server of this process may have: what its descriptors allow, less a reserve."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = soft - _open_descriptors()
    return max(_LEAST, int(free - _KEPT_SHARE * soft))


def raise_descriptor_limit() -> None:
    """To what the system allows: each connection takes one, and the usual soft limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open_descriptors() -> int:
    with contextlib.suppress(OSError):
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    return 0
