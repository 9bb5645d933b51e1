"""Where clients connect, and how."""

from trunkline.serving.channel import channel_options

DEFAULT_TARGET = "127.0.0.1:8500"
# The default limit of the service on one message; a picture above it would be refused after it was sent.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_LOCAL_HOSTS = ("127.", "localhost", "[::1]")


def options_for(target: str) -> list[tuple[str, int | str]]:
    """Channel options for a target. This machine's own addresses are never reached through a proxy."""
    options = channel_options(MAX_MESSAGE_BYTES)
    if target.startswith(_LOCAL_HOSTS):
        options.append(("grpc.enable_http_proxy", 0))
    return options
