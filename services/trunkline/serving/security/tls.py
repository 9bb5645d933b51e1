"""The certificates of a process: read at the start, again when their files change, never left out."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from trunkline.core.errors import ConfigurationError
from trunkline.core.files import MIB, read_regular
from trunkline.serving.security.watched import state_of
from trunkline.serving.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Certificates:
    """One content of the files, PEM. context: the same for HTTP, whose making has shown that they fit together.

    number: which content this is, counted from 1. peers: of those whose certificates are trusted; None for none.
    """

    number: int
    chain: bytes
    key: bytes
    peers: bytes | None
    context: ssl.SSLContext


class TlsFiles:
    """The files of TRUNKLINE_TLS_CERT, _KEY and _CLIENT_CA. `latest` is what was last read whole."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None, *, asks_callers: bool) -> None:
        """asks_callers: whether callers must show a certificate. Raises ConfigurationError."""
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._paths = [path for path in (cert, key, client_ca) if path is not None]
        self.asks_callers = asks_callers
        self._seen = state_of(self._paths)
        try:
            self.latest = self._read(1)
        except OSError as error:
            raise ConfigurationError(f"{self._fault(error)}; without it nothing starts") from error

    @classmethod
    def of(cls, settings: Settings) -> "TlsFiles | None":
        """Those of these settings; None where none are set. Raises ConfigurationError, also for a half of a pair."""
        if not settings.tls_cert and not settings.tls_key:
            if settings.tls_client_ca:
                raise ConfigurationError("TRUNKLINE_TLS_CLIENT_CA needs TRUNKLINE_TLS_CERT and TRUNKLINE_TLS_KEY")
            return None
        if not settings.tls_cert or not settings.tls_key:
            raise ConfigurationError("TRUNKLINE_TLS_CERT and TRUNKLINE_TLS_KEY go together: set both")
        client_ca = Path(settings.tls_client_ca) if settings.tls_client_ca else None
        # gRPC can ask for a certificate of every caller, or of none.
        asks = client_ca is not None and (not settings.auth or "mtls" in settings.auth)
        return cls(Path(settings.tls_cert), Path(settings.tls_key), client_ca, asks_callers=asks)

    def look(self) -> None:
        """Read them again where they have changed. What does not fit together changes nothing, and is in the log."""
        seen = state_of(self._paths)
        if seen == self._seen:
            return
        try:
            found = self._read(self.latest.number + 1)
        except OSError as error:
            self._seen = seen
            _log.error("%s; the certificate before goes on", self._fault(error))
            return
        if state_of(self._paths) == seen:  # otherwise it may be half of one and half of the next
            self._seen, self.latest = seen, found
            _log.info("certificates were read again: %s", self._cert)

    def server_credentials(self) -> grpc.ServerCredentials:
        """For a gRPC server: connections that are made after a change get what is new, those before go on."""
        given = [self.latest.number]

        def fetch() -> Any:
            found = self.latest
            if found.number == given[0]:
                return None
            given[0] = found.number
            return _configuration(found)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(self.latest), fetch, require_client_authentication=self.asks_callers
        )

    def http_context(self) -> ssl.SSLContext:
        """For an HTTP server, in the same way."""
        context = self._context()

        def begin(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self.latest.context

        context.sni_callback = begin
        return context

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a channel to a service whose certificate is of the same CA; it shows its own."""
        found = self.latest
        return grpc.ssl_channel_credentials(found.peers, found.key, found.chain)

    def _read(self, number: int) -> Certificates:
        """Raises OSError."""
        chain, key = read_regular(self._cert, MIB), read_regular(self._key, MIB)
        peers = None if self._client_ca is None else read_regular(self._client_ca, MIB)
        return Certificates(number, chain, key, peers, self._context())

    def _context(self) -> ssl.SSLContext:
        """Raises OSError: an SSLError where certificate and key do not belong together, or are none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._cert, self._key, password=_no_password)
        if self._client_ca is not None:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if self.asks_callers else ssl.CERT_NONE
        return context

    def _fault(self, error: OSError) -> str:
        where = error.filename or ", ".join(map(str, self._paths))
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        return f"TLS cannot be had from {where}: {reason or error}"


def _no_password() -> str:
    raise OSError("the private key is encrypted: give it without a password")


def _configuration(found: Certificates) -> Any:
    return grpc.ssl_server_certificate_configuration([(found.key, found.chain)], found.peers)
