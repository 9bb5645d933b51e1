"""Names of classes from a file."""

from pathlib import Path

from trunkline.core.bundle import LARGEST_TEXT
from trunkline.core.errors import InvalidRequestError
from trunkline.core.files import read_regular
from trunkline.core.labels import labels_of


def read_names(file: Path) -> tuple[str, ...]:
    """One class a line. Raises InvalidRequestError where it cannot be read."""
    try:
        text = read_regular(file, LARGEST_TEXT).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{file} cannot be read: give a text file with one class name per line") from error
    return tuple(line.strip() for line in labels_of(text.strip()))
