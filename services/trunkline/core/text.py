"""What others wrote, made fit for one line of a message."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

LONGEST_ECHO: Final = 200  # characters
_LONGEST_NAME, _MOST_NAMES = 64, 20


def shown(text: object, most: int = LONGEST_ECHO) -> str:
    """At most this many characters, without line breaks, control characters and what is no Unicode."""
    raw = str(text)
    kept = raw if len(raw) <= most else raw[: most - 1] + "…"
    if kept.isprintable():
        return kept
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in kept)[: 2 * most]


def shown_path(path: object, most: int = 2 * LONGEST_ECHO) -> str:
    """The same for a path, of which the end says most."""
    raw = str(path)
    return shown(raw if len(raw) <= most else "…" + raw[1 - most :], most)


def printable(name: str) -> str:
    """The name of a file with what is not UTF-8 in it written as escapes."""
    return name.encode(errors="backslashreplace").decode()


def listed(names: Iterable[str], *, nothing: str = "none") -> str:
    """Names with commas; of many the first ones and how many more there are."""
    known = list(names)
    if not known:
        return nothing
    first = ", ".join(shown(name, _LONGEST_NAME) for name in known[:_MOST_NAMES])
    more = len(known) - _MOST_NAMES
    return f"{first} and {more} more" if more > 0 else first


def unknown_name(kind: str, name: str, known: Sequence[str]) -> str:
    """What to say of a name that is not there: the one that is most like it, and the others."""
    like = get_close_matches(name[:LONGEST_ECHO], known, 1)
    hint = f"did you mean {shown(like[0])}? " if like else ""
    return f"there is no {kind} {shown(name)!r}; {hint}known: {listed(known)}"


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")
