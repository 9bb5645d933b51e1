"""Pairs of points as options give them: A:B,C:D."""

from collections.abc import Sequence

from trunkline.core.errors import InvalidRequestError

Pair = tuple[str, str]


def pairs_of(text: str, names: Sequence[str], option: str) -> tuple[Pair, ...]:
    """() for an empty text. Raises InvalidRequestError for what is no pair of two of these names."""
    found = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        one, colon, other = (each.strip() for each in part.partition(":"))
        if not colon or one == other or not {one, other} <= set(names):
            raise InvalidRequestError(
                f"option {option!r} does not name two of the {len(names)} points of the data: "
                f"such as {_example(names)}",
                option=option,
            )
        found.append((one, other))
    return tuple(found)


def _example(names: Sequence[str]) -> str:
    return f"{names[0]}:{names[-1]}"
