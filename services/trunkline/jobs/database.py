"""The database of jobs."""

from typing import Final

from trunkline.database.database import Database as AnyDatabase
from trunkline.database.database import Purpose, clock
from trunkline.jobs.schema import SCHEMA

__all__ = ["Database", "clock"]
_PURPOSE: Final = Purpose("job database", "TRUNKLINE_TRAINING_DATABASE", "jobs", SCHEMA)


class Database(AnyDatabase):
    """Transactions on the tables of schema.py. May be shared between threads; each process makes its own."""

    def __init__(self, url: str) -> None:
        """Opens nothing yet. Raises ConfigurationError for a URL that is none."""
        super().__init__(url, _PURPOSE)
