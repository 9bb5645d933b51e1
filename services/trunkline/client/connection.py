"""Where clients connect, and how."""

from trunkline.core.host_port import check_target
from trunkline.serving.channel import channel_options

DEFAULT_TARGET = "127.0.0.1:8500"
# The default limit of the service on one message; a picture above it would be refused after it was sent.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


def options_for(target: str) -> list[tuple[str, int | str]]:
    """Channel options for a target. Raises ValueError for what is no target of gRPC, and says why."""
    check_target(target)
    return channel_options(target, MAX_MESSAGE_BYTES)
