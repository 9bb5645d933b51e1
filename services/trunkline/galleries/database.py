"""The database of galleries."""

from typing import Final

from trunkline.database.database import Database as AnyDatabase
from trunkline.database.database import Purpose
from trunkline.galleries.schema import SCHEMA

_PURPOSE: Final = Purpose("gallery database", "TRUNKLINE_GALLERY_DATABASE", "galleries", SCHEMA)


class Database(AnyDatabase):
    """Transactions on the tables of schema.py. May be shared between threads; each process makes its own."""

    def __init__(self, url: str) -> None:
        """Opens nothing yet. Raises ConfigurationError for a URL that is none."""
        super().__init__(url, _PURPOSE)
