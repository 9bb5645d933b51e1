"""The names of the splits."""

from typing import Final

SPLITS: Final = ("train", "val", "test")
NONE: Final = ""  # the split of a sample where none is given; it may be used for training
FOR_TRAINING: Final = ("train", NONE)
_ALSO: Final = {"valid": "val", "validation": "val"}


def split_named(text: str) -> str | None:
    """The split that a column or a folder means by this text, or None for an unknown one."""
    name = _ALSO.get(text.lower(), text.lower())
    return name if name in SPLITS else None
