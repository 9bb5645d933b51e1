"""Placeholder until the limits of counts and lengths are merged."""

from google.protobuf.message import Message


def check_message(message: Message) -> None:
    """Nothing yet."""
