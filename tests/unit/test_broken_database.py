"""Databases that are damaged, locked, not ours or gone: one line of what to do, and on again once they are mended."""

import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing

import pytest

pytest.importorskip("sqlalchemy", reason="needs the gallery extra: pip install -e '.[gallery]'")

from sqlalchemy import text

from trunkline.core.errors import ServiceUnavailableError
from trunkline.core.results import Embedding
from trunkline.galleries.database import Database
from trunkline.galleries.store import GalleryStore

LIKE = Embedding("space-1", (1.0, 0.0))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "galleries.db"


@pytest.fixture
def database(path):
    made = Database(f"sqlite:///{path}")
    yield made
    made.close()


def create(database: Database, name: str) -> None:
    GalleryStore(database).create(name, "head", LIKE, None, keep_images=False)


def names(database: Database) -> list[str]:
    return [record.name for record in GalleryStore(database).all()]


def refused(database: Database, match: str) -> None:
    with pytest.raises(ServiceUnavailableError, match=match) as caught:
        names(database)
    assert "/" not in caught.value.message


def other_program(path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.execute("INSERT INTO songs VALUES ('one')")
        connection.commit()


def newer(path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE gallery_schema (id INTEGER PRIMARY KEY, version INTEGER)")
        connection.execute("INSERT INTO gallery_schema VALUES (1, 77)")
        connection.commit()


def half_a_header(path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(20))


def rubbish_behind_a_header(path) -> None:
    path.write_bytes(b"SQLite format 3\0\x10\x00\x02\x02\x00\x40\x20\x20" + os.urandom(8192))


BROKEN = {
    "rubbish": (lambda path: path.write_bytes(os.urandom(30_000)), "is damaged: restore it"),
    "one byte": (lambda path: path.write_bytes(b"x"), "is damaged: restore it"),
    "half a header": (half_a_header, "is damaged: restore it"),
    "rubbish behind a header": (rubbish_behind_a_header, "is damaged: restore it"),
    "a text": (lambda path: path.write_text("no database\n" * 1000), "is damaged: restore it"),
    "another program's": (other_program, "of another program"),
    "a newer one": (newer, r"newer trunkline \(schema 77"),
    "a folder": (lambda path: path.mkdir(), "cannot be opened: look at its path"),
    "a link to nothing": (lambda path: path.symlink_to("/nowhere/galleries.db"), "cannot be opened"),
    "a pipe": (os.mkfifo, "cannot be opened"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_told_once_left_alone_and_looked_at_again(kind, path, database, caplog):
    caplog.set_level("INFO")
    path.parent.mkdir()
    make, match = BROKEN[kind]
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for _ in range(3):
        refused(database, f"gallery database galleries.db .*{match}|{match}")
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert str(path) in warnings[0].getMessage()
    if before is not None:
        assert path.read_bytes() == before
    path.rename(path.with_name("aside"))
    create(database, "pets")
    assert names(database) == ["pets"]
    assert "answers again" in caplog.text


def test_an_empty_file_is_a_new_database(path, database):
    path.parent.mkdir()
    path.touch()
    assert names(database) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, os.urandom(20_000)], ids=["empty", "zeros", "rubbish"])
def test_a_file_that_is_overwritten_while_it_is_used_is_seen_and_a_backup_put_in_its_place_answers(
    content, path, database
):
    create(database, "pets")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(path.with_name("backup"))) as backup:
        source.backup(backup)
    create(database, "later")
    path.write_bytes(content)
    for _ in range(3):
        refused(database, "galleries.db is damaged")
        with pytest.raises(ServiceUnavailableError, match="damaged"):
            create(database, "more")
    assert path.read_bytes() == content
    shutil.copyfile(path.with_name("backup"), path)  # in place: what was in the log of the old one must not come in
    assert names(database) == ["pets"]
    create(database, "more")
    assert names(database) == ["more", "pets"]
    with database.read() as session:
        assert session.scalar(text("PRAGMA integrity_check")) == "ok"
    assert list(path.parent.glob("galleries.db-wal-*"))  # and it is kept


def test_a_file_whose_inside_is_damaged_is_out_until_it_is_restored(path, database):
    for number in range(200):
        create(database, f"pets-{number}")
    database.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    other = Database(f"sqlite:///{path}")
    for _ in range(3):
        refused(other, "damaged")
        with pytest.raises(ServiceUnavailableError, match="damaged"):
            other.look()
    path.write_bytes(whole)
    assert len(names(other)) == 200
    other.close()


def test_a_file_that_is_moved_away_or_whose_folder_goes_is_made_anew_and_put_back_is_read_again(
    path, database, caplog
):
    create(database, "pets")
    assert not caplog.records
    shutil.move(path.parent, path.parent.with_name("aside"))
    assert names(database) == []
    assert caplog.text.count("was replaced or deleted: it is opened again") == 1
    create(database, "new")
    shutil.rmtree(path.parent)
    shutil.move(path.parent.with_name("aside"), path.parent)
    assert names(database) == ["pets"]


def test_a_lock_of_another_process_costs_writers_seconds_once_and_readers_nothing(path, database, caplog):
    create(database, "pets")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started_at = time.monotonic()
        errors: list[str] = []

        def write(number: int) -> None:
            try:
                create(database, f"more-{number}")
            except ServiceUnavailableError as error:
                errors.append(error.message)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(30)]
        for thread in threads:
            thread.start()
        assert names(database) == ["pets"]
        for thread in threads:
            thread.join()
        assert len(errors) == 30
        assert all("is locked by another process" in error for error in errors)
        assert time.monotonic() - started_at < 40  # not five seconds for each
        assert sum(record.levelname == "WARNING" for record in caplog.records) == 1
        assert "locked" in database.trouble
        other.execute("ROLLBACK")
    ends_at = time.monotonic() + 30
    while database.trouble:
        assert time.monotonic() < ends_at
        try:
            database.look()
        except ServiceUnavailableError:
            time.sleep(0.1)
    create(database, "more")
    assert names(database) == ["more", "pets"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can take another user's id, from whom a file can be kept")
def test_a_file_without_permission_is_named_and_answers_when_it_is_given(path, tmp_path):
    made = Database(f"sqlite:///{path}")
    create(made, "pets")
    made.close()
    for folder in [path.parent, *path.parents]:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    path.chmod(0o600)
    database = Database(f"sqlite:///{path}")
    os.seteuid(65534)
    try:
        refused(database, "cannot be opened: look at its path, its folder and their permissions")
        os.seteuid(0)
        path.parent.chmod(0o777)
        path.chmod(0o666)
        for further in path.parent.glob("galleries.db-*"):
            further.unlink()
        os.seteuid(65534)
        assert names(database) == ["pets"]
    finally:
        os.seteuid(0)
        database.close()


def test_what_is_deleted_is_given_back_to_the_disk_in_pieces(path, database):
    with database.write() as session:
        session.execute(text("CREATE TABLE blobs (content BLOB)"))
        session.execute(text("INSERT INTO blobs VALUES (zeroblob(12000000))"))
    with database.write() as session:
        session.execute(text("DELETE FROM blobs"))
    pieces = 1
    while database.shrink():
        pieces += 1
    assert 3 <= pieces <= 5
    database.close()  # the log is written into the file
    assert path.stat().st_size < 1_000_000
