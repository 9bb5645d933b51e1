"""What guards one process: its certificates, its gate, its record, and how far it may be reached."""

import logging
import secrets

from trunkline.core.errors import ConfigurationError
from trunkline.serving.addresses import is_loopback
from trunkline.serving.security.gate import Gate
from trunkline.serving.security.quota import Quota
from trunkline.serving.security.record import Record
from trunkline.serving.security.tls import TlsFiles
from trunkline.serving.settings import Settings

_log = logging.getLogger(__name__)


class Security:
    """tls: None for plain text. gate: None where nobody is asked who calls."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigurationError for files that cannot be used, and for what may not be reached so."""
        check_exposure(settings)
        self.own_key = secrets.token_hex(32)  # by which the HTTP port of this process is known to its gRPC server
        self.record = Record(self.own_key)
        self.tls = TlsFiles.of(settings)
        self.gate = Gate(settings, self.record, self.own_key) if settings.auth else None
        if "mtls" in settings.auth and not settings.tls_client_ca:
            raise ConfigurationError("TRUNKLINE_AUTH=mtls needs TRUNKLINE_TLS_CLIENT_CA: the CA of its certificates")

    def look(self) -> None:
        """Read again what has changed on disk. Blocks."""
        if self.tls is not None:
            self.tls.look()
        if self.gate is not None:
            self.gate.look()

    def quota_of(self, identity: str) -> Quota | None:
        """That of an identity by its name, as the access file says it now; None where there is none."""
        return None if self.gate is None else self.gate.quota_of(identity)

    @property
    def reflection(self) -> bool:
        """Whether there is reflection at all."""
        return self.gate is None or self.gate.reflection != "off"


def check_exposure(settings: Settings) -> None:
    """Warn of what others can reach in plain text, or whoever they are.

    Raises ConfigurationError where nobody has said that this is meant.
    """
    addresses = (settings.address, settings.http_address, settings.admin_address)
    reached = [address for address in addresses if address and not is_loopback(address)]
    lacks = []
    if not settings.tls_cert:
        lacks.append("in plain text")
    if not settings.auth and not settings.tls_client_ca:
        lacks.append("by anyone")
    if not reached or not lacks:
        return
    what = f"{reached[0]} can be reached from other machines, {' and '.join(lacks)}"
    if not settings.insecure:
        raise ConfigurationError(
            f"{what}: set TRUNKLINE_TLS_CERT, TRUNKLINE_TLS_KEY and TRUNKLINE_AUTH, listen on 127.0.0.1, or say "
            "--insecure if that is meant"
        )
    _log.warning("%s", what)
