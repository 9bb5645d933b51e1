"""A database that has no more room says so, keeps what it had, and goes on when there is room again."""

import pytest

pytest.importorskip("sqlalchemy", reason="needs the gallery extra: pip install -e '.[gallery]'")

from sqlalchemy import text

from trunkline.core.errors import ServiceUnavailableError
from trunkline.galleries.database import Database


def write_too_much(database: Database) -> None:
    """More than the pages that SQLite may still take, which it reports as it does a full disk."""
    with database.write() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar_one()
        session.execute(text(f"PRAGMA max_page_count = {pages + 2}"))
        session.execute(text("INSERT INTO notes VALUES (:text)"), {"text": "x" * 1_000_000})


def test_a_full_disk_is_said_to_be_one_and_loses_nothing(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/galleries.db")
    with database.write() as session:
        session.execute(text("CREATE TABLE notes (text TEXT)"))
        session.execute(text("INSERT INTO notes VALUES ('kept')"))
    with pytest.raises(ServiceUnavailableError, match="is full; make room there and try again"):
        write_too_much(database)
    with database.write() as session:
        session.execute(text("PRAGMA max_page_count = 100000"))
        session.execute(text("INSERT INTO notes VALUES ('more')"))
    with database.read() as session:
        assert session.execute(text("SELECT text FROM notes")).scalars().all() == ["kept", "more"]
    database.close()
