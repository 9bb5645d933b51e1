"""What Ctrl-C leaves: one line that says what is done and how to go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trunkline.cli.output import complain

STATUS = 128 + 2  # as a shell says of what SIGINT ended
_told: list[str] = []


@contextmanager
def on_interrupt(words: Callable[[], str]) -> Iterator[None]:
    """Around work: where Ctrl-C ends it, say so with these words."""
    try:
        yield
    except KeyboardInterrupt:
        tell(words())
        raise


def tell(words: str) -> None:
    """Say how an interrupted command ended, once."""
    if not _told:
        _told.append(words)
        complain(words)


def ended() -> None:
    """The command was interrupted: say so where nobody has."""
    tell("stopped")
