"""Who can reach an address on which a process listens, and which targets are this machine itself."""

from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote

# What a gateway that can be reached from other machines says with the calls that it passes on: the service behind it
# may listen on loopback alone.
OVER_NETWORK: Final = "trunkline-over-network"
NO_PROXY: Final = ("grpc.enable_http_proxy", 0)
_LOCAL_SCHEMES = ("unix", "unix-abstract", "vsock")


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


def proxy_options(target: str) -> list[tuple[str, int]]:
    """Channel options for a gRPC target: a proxy of the environment is never asked for this machine's own addresses.

    It would not reach them, as it means another machine by 127.0.0.1.
    """
    return [NO_PROXY] if _is_this_machine(target) else []


def _is_this_machine(target: str) -> bool:
    scheme, _, rest = target.partition(":")
    if scheme in _LOCAL_SCHEMES:
        return True
    if scheme in ("dns", "ipv4", "ipv6"):
        target = rest.rpartition("/")[2]  # dns://SERVER/NAME, or no slash at all
    return all(map(_is_own_host, target.split(",")))


def _is_own_host(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    if not host or port.endswith("]"):
        host = address  # without a port
    host = unquote(host).strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_loopback or found.is_unspecified


def over_network(*addresses: str) -> tuple[tuple[str, str], ...]:
    """Metadata of the calls that a gateway passes on which listens on these; "" for none."""
    return () if all(map(is_loopback, filter(None, addresses))) else ((OVER_NETWORK, "1"),)
