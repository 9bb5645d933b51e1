"""How a gateway reaches the services behind it: in plain text on one machine, else both sides show certificates."""

from trunkline.core.errors import ConfigurationError
from trunkline.serving.addresses import is_loopback
from trunkline.serving.parent import peer_key
from trunkline.serving.security.tls import TlsFiles
from trunkline.serving.settings import Settings


def tls_behind(settings: Settings, tls: TlsFiles | None) -> TlsFiles | None:
    """The certificates for channels to the services behind; None for plain text.

    Raises ConfigurationError where a gateway with TLS would have to go on in plain text.
    """
    if tls is None or peer_key():  # processes of one supervisor are together on loopback
        return None
    if tls.latest.peers is not None:
        return tls
    remote = [address for address in addresses_behind(settings) if not is_loopback(address)]
    if remote:
        raise ConfigurationError(
            f"the gateway has TLS, and {remote[0]} would be reached in plain text: set TRUNKLINE_TLS_CLIENT_CA to "
            "the CA of the certificates of the services behind it"
        )
    return None


def addresses_behind(settings: Settings) -> tuple[str, ...]:
    """Of every service that a gateway calls: catalog and training first, then backbones, then heads."""
    return (
        settings.catalog_address,
        settings.training_address,
        *settings.backbone_targets,
        *settings.head_addresses,
    )
