"""Who can reach an address on which a process listens."""

from ipaddress import ip_address
from typing import Final

# What a gateway that can be reached from other machines says with the calls that it passes on: the service behind it
# may listen on loopback alone.
OVER_NETWORK: Final = "trunkline-over-network"


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT, or unix:PATH, can be reached from this machine alone; other names count as the network."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rpartition(":")[0].removeprefix("ipv4:").removeprefix("ipv6:").strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def over_network(*addresses: str) -> tuple[tuple[str, str], ...]:
    """Metadata of the calls that a gateway passes on which listens on these; "" for none."""
    return () if all(map(is_loopback, filter(None, addresses))) else ((OVER_NETWORK, "1"),)
