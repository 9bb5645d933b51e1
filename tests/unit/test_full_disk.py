"""A database that has no more room says so, keeps what it had, and goes on when there is room again."""

import shutil
import subprocess

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


def add_note(database: Database) -> None:
    with database.write() as session:
        session.execute(text("INSERT INTO notes VALUES (:text)"), {"text": "x" * 2_000_000})


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs a file system of its own that can be full: run it as root, who may mount one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_costs_writes_alone_and_is_told_once(small_disk, caplog):
    database = Database(f"sqlite:///{small_disk}/galleries.db")
    with database.write() as session:
        session.execute(text("CREATE TABLE notes (text TEXT)"))
    for _ in range(4):
        with pytest.raises(ServiceUnavailableError, match="is full; make room there and try again"):
            add_note(database)
        with database.read() as session:
            assert session.execute(text("SELECT COUNT(*) FROM notes")).scalar_one() == 0
        assert "is full" in database.trouble
    assert sum(record.levelname == "WARNING" for record in caplog.records) == 1
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    add_note(database)
    assert not database.trouble
    database.close()
