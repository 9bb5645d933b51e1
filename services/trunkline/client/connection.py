"""Where clients connect, and how: plain or TLS, and what they show of themselves."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, cast

import grpc

from trunkline.core.host_port import check_target
from trunkline.serving.addresses import is_loopback
from trunkline.serving.channel import Options, channel_options, dial, dial_aio
from trunkline.serving.telemetry.carrying import CarryingChannel

DEFAULT_TARGET = "127.0.0.1:8500"
# The default limit of the service on one message; a picture above it would be refused after it was sent.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OFF: Final = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class Credentials:
    """What a client shows, and whom it trusts. Files are PEM, and read when a connection is made.

    tls: encrypt, and trust the CAs that gRPC brings. ca: trust those of this file alone. cert and key: of this
    client. Each of the three means TLS. token: what is sent as `authorization: Bearer`, a key or a JWT, over TLS or
    to this machine alone. token_file: a file with it, read for each call, so that a new one holds at once.
    """

    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None

    @classmethod
    def from_environment(cls, names: Mapping[str, str] = os.environ) -> Self:
        """From TRUNKLINE_TLS, _CA, _CERT, _KEY, _TOKEN and _TOKEN_FILE, as the command line sets them."""

        def file(name: str) -> Path | None:
            text = names.get(f"TRUNKLINE_{name}", "")
            return Path(text) if text else None

        return cls(
            tls=names.get("TRUNKLINE_TLS", "").lower() not in _OFF,
            ca=file("CA"),
            cert=file("CERT"),
            key=file("KEY"),
            token=names.get("TRUNKLINE_TOKEN", ""),
            token_file=file("TOKEN_FILE"),
        )

    def for_channel(self) -> grpc.ChannelCredentials | None:
        """For TLS; None for plain text. Raises OSError, ValueError for half of a pair."""
        if not (self.tls or self.ca or self.cert or self.key):
            return None
        if (self.cert is None) != (self.key is None):
            raise ValueError("a certificate and its private key go together: give both --cert and --key")
        ca, key, cert = (None if path is None else path.read_bytes() for path in (self.ca, self.key, self.cert))
        return grpc.ssl_channel_credentials(ca, key, cert)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call carries. Raises OSError for a token file that cannot be read."""
        token = self.token_file.read_text().strip() if self.token_file is not None else self.token
        return (("authorization", f"Bearer {token}"),) if token else ()

    @property
    def has_token(self) -> bool:
        return bool(self.token) or self.token_file is not None


def options_for(target: str) -> list[tuple[str, int | str]]:
    """Channel options for a target. Raises ValueError for what is no target of gRPC, and says why."""
    check_target(target)
    return channel_options(target, MAX_MESSAGE_BYTES)


def open_sync(target: str, credentials: Credentials | None = None, options: Options | None = None) -> grpc.Channel:
    """A channel for plain code. None: what the environment says; the options of every client.

    Raises ValueError for what is no target, and for a token that others on the way could read; OSError for files.
    """
    chosen = _checked(target, credentials)
    channel = dial(target, options or options_for(target), chosen.for_channel())
    if not chosen.has_token:
        return channel
    return cast("grpc.Channel", CarryingChannel(channel, chosen.metadata))


def open_aio(target: str, credentials: Credentials | None = None, options: Options | None = None) -> grpc.aio.Channel:
    """The same for asyncio."""
    chosen = _checked(target, credentials)
    channel = dial_aio(target, options or options_for(target), chosen.for_channel())
    if not chosen.has_token:
        return channel
    return cast("grpc.aio.Channel", CarryingChannel(channel, chosen.metadata))


def _checked(target: str, credentials: Credentials | None) -> Credentials:
    check_target(target)
    chosen = Credentials.from_environment() if credentials is None else credentials
    plain = not (chosen.tls or chosen.ca or chosen.cert or chosen.key)
    if plain and chosen.has_token and not is_loopback(target):
        raise ValueError(f"a token is sent to {target} over TLS alone: give --tls, or --ca FILE")
    return chosen
