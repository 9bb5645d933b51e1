"""Texts of errors that hold what a caller sent, or names that may be many: both are cut."""

from collections.abc import Iterable

LONGEST_ECHO = 200
_MOST_NAMES = 20


def shortened(text: str, longest: int = LONGEST_ECHO) -> str:
    """The text, cut to `longest` characters with "…" as the last of them."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def listed(names: Iterable[str], *, nothing: str = "none") -> str:
    """Names with commas; of many the first ones and how many more there are."""
    known = list(names)
    if not known:
        return nothing
    shown = ", ".join(shortened(name, 64) for name in known[:_MOST_NAMES])
    more = len(known) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
