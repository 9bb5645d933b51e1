"""What others wrote, made fit for one line of a message."""

from typing import Final

_MOST: Final = 200  # characters


def shown(text: object, most: int = _MOST) -> str:
    """At most this many characters, without line breaks, control characters and what is no Unicode."""
    raw = str(text)
    kept = raw if len(raw) <= most else raw[: most - 1] + "…"
    if kept.isprintable():
        return kept
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in kept)[: 2 * most]


def shown_path(path: object, most: int = 2 * _MOST) -> str:
    """The same for a path, of which the end says most."""
    raw = str(path)
    return shown(raw if len(raw) <= most else "…" + raw[1 - most :], most)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")
