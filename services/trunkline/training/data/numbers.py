"""Numbers and ids as annotations give them: also as texts and as whole floats."""

import math
import re
from typing import Any, Final

_LARGEST: Final = 2**53  # up to here a float holds every whole number
_WHOLE: Final = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})(\.0+)?")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_CROWD: Final = {
    "0": False,
    "false": False,
    "0.0": False,
    "no": False,
    "1": True,
    "true": True,
    "1.0": True,
    "yes": True,
}


def whole(value: object) -> int | None:
    """The whole number that a value means without doubt: 7, 7.0, "7" and "7.0"; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _LARGEST else None
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value.strip().partition(".")[0])
    return None


def id_of(value: object) -> int | str | None:
    """An id in its one form: a whole number where it means one, or else the text; None for what is no id."""
    number = whole(value)
    if number is not None:
        return number
    return value if isinstance(value, str) and value else None


def number(value: object) -> float | None:
    """A finite number, also from a text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return float(value) if abs(value) < _LARGEST else None
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value.strip()) else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def numbers(values: Any) -> list[float] | None:
    """Each as number does; None where it is no list, or one of them is none."""
    if not isinstance(values, list):
        return None
    found = [number(value) for value in values]
    return None if any(value is None for value in found) else [value for value in found if value is not None]


def has_text(values: Any) -> bool:
    return any(isinstance(value, str) for value in values)


def truth(value: object) -> bool | None:
    """0 or 1, also as a text, a float or a truth; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    return _CROWD.get(value.strip().lower()) if isinstance(value, str) else None
