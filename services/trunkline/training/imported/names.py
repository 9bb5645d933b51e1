"""Names of classes, from a file or from an exporter."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from trunkline.core.bundle import LARGEST_TEXT
from trunkline.core.errors import InvalidRequestError
from trunkline.core.files import read_regular
from trunkline.core.labels import labels_of
from trunkline.core.text import shown


def read_names(file: Path) -> tuple[str, ...]:
    """One class a line. Raises InvalidRequestError where it cannot be read."""
    try:
        text = read_regular(file, LARGEST_TEXT).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{file} cannot be read: give a text file with one class name a line") from error
    return tuple(line.strip() for line in labels_of(text.strip()))


def checked_names(names: Sequence[str], file: Path) -> tuple[str, ...]:
    """Raises InvalidRequestError for a class without a name, or two classes of one name."""
    if not names or not all(names):
        raise InvalidRequestError(f"{file}: a class has no name: give all names with --labels FILE")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InvalidRequestError(
            f"{file}: two classes are called {shown(twice)!r}: give other names with --labels FILE"
        )
    return tuple(names)
