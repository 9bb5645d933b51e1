"""The one place that opens channels: one message limit on every hop, load over all replicas, safe calls retried."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import grpc

from trunkline.serving.addresses import proxy_options
from trunkline.serving.parent import peer_key
from trunkline.serving.security.peers import PEER
from trunkline.serving.security.renewed import RenewedChannel
from trunkline.serving.telemetry.call import outgoing_metadata
from trunkline.serving.telemetry.carrying import CarryingChannel

if TYPE_CHECKING:
    from trunkline.serving.security.tls import TlsFiles

Options = Sequence[tuple[str, int | str]]

# Nearly every call is a pure function of its request, or the same done twice, so a new try can do no harm. A server
# that stops answers CANCELLED to calls that it has received and not begun; who cancels a call gets no other try. What
# is heavy is tried again only until a server has begun with it: `begun.py`.
_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            },
            # Its client knows what was answered, and sends the rest again itself.
            {"name": [{"service": "trunkline.api.vision.v1.VisionService", "method": "AnalyzeStream"}]},
            # Two of these are not one.
            {"name": [{"service": "trunkline.api.catalog.v1.CatalogService", "method": "RollbackModel"}]},
        ],
    }
)
_CONNECT_MS = 3000


def message_limits(max_message_bytes: int) -> list[tuple[str, int]]:
    """Channel and server options for the limit on one message."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    ]


def channel_options(target: str, max_message_bytes: int) -> list[tuple[str, int | str]]:
    """Options of every client channel to a target. A service that comes back is found again within a second.

    Within four where packets to it were dropped, rather than refused.
    """
    return [
        *message_limits(max_message_bytes),
        *proxy_options(target),
        ("grpc.service_config", _SERVICE_CONFIG),
        # By default 256 KiB: what is larger gets no second try, not even where the first server never read it.
        ("grpc.per_rpc_retry_buffer_size", max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # How long one try to connect may take: what nobody answers, as where a node has gone, is tried anew by then.
        # Without it, after 10 s, by the keepalive below.
        ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
        # By default 30 s: too long to go on without the replicas that have replaced those of the last answer.
        ("grpc.dns_min_time_between_resolutions_ms", 1000),
        # A peer that is silent while calls wait for it, frozen or cut off, is given up within 20 s, and calls go to
        # another one. Without a limit on pings of any kind, those of the keepalive wait for an earlier one: a minute.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
    ]


def dial(target: str, options: Options, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """A channel for plain code: TLS with credentials, plain text without."""
    if credentials is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, credentials, options=options)


def dial_aio(target: str, options: Options, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """The same for asyncio."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)


def open_channel(
    address: str, max_message_bytes: int, tls: "TlsFiles | None" = None, *, shared: bool = True
) -> grpc.aio.Channel:
    """A channel to HOST:PORT or any gRPC target, such as dns:///heads:8502. Connects when it is first used.

    Its calls carry the request id and the trace of the call that they are made for. tls: both sides show a
    certificate of one CA, and new files are for the connections after them; else they know each other by the key of
    their supervisor, where they have one. shared: channels of a process to one
    address have one connection together.
    """
    options = [*channel_options(address, max_message_bytes), ("grpc.use_local_subchannel_pool", int(not shared))]
    if tls is None:
        key = peer_key()
        said = ((PEER, key),) if key else ()
        carrying = CarryingChannel(dial_aio(address, options), lambda: (*outgoing_metadata(), *said))
        return cast("grpc.aio.Channel", carrying)
    renewed = RenewedChannel(lambda: dial_aio(address, options, tls.channel_credentials()), lambda: tls.latest.number)
    return cast("grpc.aio.Channel", CarryingChannel(cast("grpc.aio.Channel", renewed), outgoing_metadata))
