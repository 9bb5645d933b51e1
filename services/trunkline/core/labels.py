"""Class names in a file, one a line: how they are written, and how they are read back."""

from collections.abc import Iterable


def one_line(name: str) -> str:
    """The name with a blank for each line break, of any kind that str.splitlines knows.

    A name of several lines would shift all names behind it, for whoever reads one name a line.
    """
    return " ".join(name.splitlines()) if name else name


def labels_text(labels: Iterable[str]) -> str:
    """What labels.txt holds."""
    return "".join(f"{one_line(label)}\n" for label in labels)


def labels_of(text: str) -> tuple[str, ...]:
    """The names of a labels.txt, by line feeds alone, with or without a carriage return.

    Whatever else stands in a name, as in files of others, is no end of a line. Blank lines at the end are none.
    """
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(map(one_line, lines))
