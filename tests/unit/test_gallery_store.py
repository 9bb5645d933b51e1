"""Galleries in the database: images come whole, classes follow, re-embedding goes on where it stopped."""

import hashlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="needs the gallery extra: pip install -e '.[gallery]'")
pytest.importorskip("usearch", reason="needs the gallery extra: pip install -e '.[gallery]'")

from sqlalchemy import text

from trunkline.core.errors import (
    AlreadyExistsError,
    ConfigurationError,
    GalleryStateError,
    InvalidRequestError,
    NotFoundError,
    QuotaError,
    SpaceMismatchError,
)
from trunkline.core.galleries import AddStatus
from trunkline.core.results import Calibration, Embedding
from trunkline.galleries.changes import ChangeReader
from trunkline.galleries.classes import Means
from trunkline.galleries.database import Database
from trunkline.galleries.items import ItemStore, NewItem
from trunkline.galleries.limits import Limits
from trunkline.galleries.reembedding import ClaimLostError, ReembeddingStore
from trunkline.galleries.schema import ClassRow, ImageRow, ItemRow, VectorRow
from trunkline.galleries.store import GalleryStore
from trunkline.serving.security.quota import Quota

DIMENSION = 4
LIKE = Embedding("space-1", (1.0, 0.0, 0.0, 0.0), Calibration(0.7, -9.0, 6.0))


@pytest.fixture
def database(database_url):
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture
def store(database):
    return GalleryStore(database)


@pytest.fixture
def items(database):
    return ItemStore(database)


def vector(*values: float) -> np.ndarray:
    found = np.array(values, np.float32)
    return found / np.linalg.norm(found)


def item(key: str, *values: float, label: str = "", picture: bytes | None = None) -> NewItem:
    digest = hashlib.sha256(repr(values).encode()).hexdigest()
    return NewItem(key, label, digest, vector(*values), picture)


def means_of(database: Database, number: int, generation: int = 1) -> Means:
    changes = ChangeReader(database).since(number, generation, 0, 0, 0)
    return Means.of({label: each for label, each in changes.sums.items() if each[0]}, DIMENSION)


def test_a_gallery_is_made_once_and_found_by_its_name(store):
    made = store.create("pets", "likeness", LIKE, None, keep_images=True)
    assert store.create("pets", "likeness", LIKE, None, keep_images=True) == made == store.get("pets")
    assert (made.gallery.threshold, made.gallery.threshold_is_calibrated) == (0.7, True)
    with pytest.raises(AlreadyExistsError, match="'pets' with other settings"):
        store.create("pets", "likeness", LIKE, 0.5, keep_images=True)
    store.create("cars", "likeness", LIKE, 0.5, keep_images=False)
    assert [record.name for record in store.all()] == ["cars", "pets"]
    for name in ("", "Pets", "a b", "-a", "x" * 64):
        with pytest.raises(InvalidRequestError, match="no name of a gallery"):
            store.create(name, "likeness", LIKE, None, keep_images=False)


def test_a_deleted_gallery_frees_its_name_and_is_swept(store, items, database):
    number = store.create("pets", "likeness", LIKE, None, keep_images=True).number
    items.add(number, "space-1", [item("a", 1, 0, 0, 0, label="cat", picture=b"jpeg")])
    store.delete("pets")
    with pytest.raises(NotFoundError, match="'pets'"):
        store.get("pets")
    with pytest.raises(NotFoundError, match="deleted"):
        items.add(number, "space-1", [item("b", 1, 0, 0, 0)])
    again = store.create("pets", "likeness", LIKE, None, keep_images=True)
    assert (again.gallery.images, again.gallery.classes) == (0, 0)
    while ReembeddingStore(database).sweep():
        pass
    with database.read() as session:
        assert [session.query(table).count() for table in (ItemRow, VectorRow, ImageRow, ClassRow)] == [0, 0, 0, 0]


def test_an_image_is_added_once_replaced_and_removed_and_its_class_follows(store, items, database):
    number = store.create("pets", "likeness", LIKE, None, keep_images=False).number
    first = [
        item("a", 1, 0, 0, 0, label="cat"),
        item("b", 0, 1, 0, 0, label="cat"),
        item("c", 0, 0, 1, 0, label="dog"),
    ]
    assert items.add(number, "space-1", first) == [AddStatus.ADDED] * 3
    assert items.add(number, "space-1", first[:1]) == [AddStatus.PRESENT]
    means = means_of(database, number)
    assert (means.labels, means.counts) == (("cat", "dog"), (2, 1))
    np.testing.assert_allclose(means.vectors[0], vector(1, 1, 0, 0), atol=1e-6)

    assert items.add(number, "space-1", [item("a", 0, 0, 0, 1, label="dog")]) == [AddStatus.REPLACED]
    means = means_of(database, number)
    assert (means.labels, means.counts) == (("cat", "dog"), (1, 2))
    np.testing.assert_allclose(means.vectors, [vector(0, 1, 0, 0), vector(0, 0, 1, 1)], atol=1e-6)

    assert items.remove(number, ["b", "b", "none"]) == (1, ["none"])
    assert means_of(database, number).labels == ("dog",)
    assert (store.get("pets").gallery.images, store.get("pets").gallery.classes) == (2, 1)


def test_a_vector_of_another_space_is_refused_by_both_names(store, items):
    number = store.create("pets", "likeness", LIKE, None, keep_images=False).number
    with pytest.raises(SpaceMismatchError, match=r"'space-1'.*'space-2'"):
        items.add(number, "space-2", [item("a", 1, 0, 0, 0)])
    assert store.get("pets").gallery.images == 0


def test_changes_are_told_in_order_from_any_number_on(store, items, database):
    record = store.create("pets", "likeness", LIKE, None, keep_images=False)
    items.add(record.number, "space-1", [item(str(row), row + 1, 1, 0, 0) for row in range(5)])
    reader = ChangeReader(database)
    found = reader.since(record.number, 1, 0, 0, 0)
    assert (len(found.added), found.vectors.shape, found.removed, found.complete) == (5, (5, 4), (), True)
    items.remove(record.number, ["1"])
    later = reader.since(record.number, 1, found.sequence, found.sequence, 0)
    assert (len(later.added), later.removed) == (0, (int(found.added[1]),))
    assert reader.since(record.number, 2, 0, 0, 0) is None


def test_a_killed_process_leaves_nothing_half_added(tmp_path):
    url = f"sqlite:///{tmp_path}/galleries.db"
    database = Database(url)
    number = GalleryStore(database).create("pets", "likeness", LIKE, None, keep_images=True).number
    code = f"""
import numpy as np
from trunkline.galleries.database import Database
from trunkline.galleries.items import ItemStore, NewItem
items = ItemStore(Database({url!r}))
random = np.random.default_rng(0)
for row in range(100_000):
    made = [random.normal(size=4).astype(np.float32) for _ in range(7)]
    new = [NewItem(f"{{row}}-{{n}}", f"class-{{n}}", f"{{row}}", v, b"x" * 5000) for n, v in enumerate(made)]
    items.add({number}, "space-1", new)
    print(row, flush=True)
"""
    answered = 0
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            answered = int(line) + 1
            if answered == 30:
                os.kill(child.pid, signal.SIGKILL)
    gallery = GalleryStore(database).get("pets").gallery
    assert gallery.images >= 7 * answered  # what was answered is there
    assert gallery.images % 7 == 0  # and each transaction whole
    with database.read() as session:
        counts = {table: session.query(table).count() for table in (ItemRow, VectorRow, ImageRow)}
        total = sum(row.count for row in session.query(ClassRow))
    assert set(counts.values()) == {gallery.images} == {total}
    database.close()


def embed_anew(claim, store: ReembeddingStore, count: int) -> list[int]:
    """New vectors for the next images: the old ones, turned."""
    some = store.todo(claim, 0, count)
    store.put(claim, [(number, vector(0, 1, 0, data[0])) for number, data in some], 60)
    return [number for number, _ in some]


def test_a_re_embedding_goes_on_where_another_process_stopped_and_changes_all_at_once(store, items, database):
    number = store.create("pets", "likeness", LIKE, None, keep_images=True).number
    pictures = [item(f"{row}", row + 1, 1, 0, 0, label="cat", picture=bytes([row])) for row in range(6)]
    items.add(number, "space-1", pictures)
    reembeddings = ReembeddingStore(database)
    started = reembeddings.begin("pets", "likeness", Embedding("space-2", LIKE.values))
    assert (started.gallery.space, started.gallery.reembedding.state) == ("space-1", "RUNNING")
    with pytest.raises(GalleryStateError, match="being re-embedded"):
        reembeddings.begin("pets", "likeness", Embedding("space-3", LIKE.values))

    first = reembeddings.take(lease_s=-1)  # a process that dies
    done = embed_anew(first, reembeddings, 2)
    with database.write() as session:  # as after its lease
        session.connection().exec_driver_sql("UPDATE galleries SET lease_until = 0")
    second = reembeddings.take(lease_s=60)
    assert second.owner != first.owner
    assert reembeddings.take(lease_s=60) is None
    with pytest.raises(ClaimLostError):
        embed_anew(first, reembeddings, 1)
    assert not set(done) & {each for each, _ in reembeddings.todo(second, 0, 100)}
    items.add(number, "space-1", [item("late", 9, 1, 0, 0, label="dog", picture=b"\x09")])
    items.remove(number, ["0"])
    embed_anew(second, reembeddings, 3)
    assert reembeddings.finish(second) is False
    assert store.get("pets").gallery.space == "space-1"
    assert means_of(database, number).labels == ("cat", "dog")
    embed_anew(second, reembeddings, 100)
    assert reembeddings.finish(second) is True

    record = store.get("pets")
    assert (record.gallery.space, record.generation, record.calibration) == ("space-2", 2, None)
    assert (record.gallery.reembedding.state, record.gallery.reembedding.done) == ("SUCCEEDED", 6)
    means = means_of(database, number, generation=2)
    assert (means.labels, means.counts) == (("cat", "dog"), (5, 1))
    np.testing.assert_allclose(means.vectors[1], vector(0, 1, 0, 9), atol=1e-6)
    with pytest.raises(SpaceMismatchError):
        items.add(number, "space-1", [item("old", 1, 1, 1, 1)])
    with database.write() as session:
        session.connection().exec_driver_sql("UPDATE galleries SET lease_until = 0")
    while reembeddings.sweep():
        pass
    with database.read() as session:
        assert {row.generation for row in session.query(VectorRow)} == {2}


def test_a_cancelled_re_embedding_leaves_all_as_it_was(store, items, database):
    number = store.create("pets", "likeness", LIKE, None, keep_images=True).number
    items.add(number, "space-1", [item("a", 1, 1, 0, 0, label="cat", picture=b"a")])
    reembeddings = ReembeddingStore(database)
    reembeddings.begin("pets", "likeness", Embedding("space-2", LIKE.values))
    claim = reembeddings.take(60)
    embed_anew(claim, reembeddings, 1)
    assert reembeddings.cancel("pets").gallery.reembedding.state == "CANCELLED"
    with pytest.raises(ClaimLostError):
        reembeddings.finish(claim)
    while reembeddings.sweep():
        pass
    with database.read() as session:
        assert [row.generation for row in session.query(VectorRow)] == [1]
    reembeddings.begin("pets", "likeness", Embedding("space-2", LIKE.values))
    claim = reembeddings.take(60)
    assert claim.generation == 3  # never one that leftovers may be of
    embed_anew(claim, reembeddings, 1)
    assert reembeddings.finish(claim)


def test_what_has_no_pictures_cannot_be_re_embedded(store, items, database):
    other = Embedding("space-2", LIKE.values)
    store.create("bare", "likeness", LIKE, None, keep_images=False)
    with pytest.raises(GalleryStateError, match="keeps no pictures"):
        ReembeddingStore(database).begin("bare", "likeness", other)
    number = store.create("kept", "likeness", LIKE, None, keep_images=True).number
    items.add(number, "space-1", [item("a", 1, 1, 0, 0), item("b", 1, 2, 0, 0, picture=b"b")])
    with pytest.raises(GalleryStateError, match="1 images of gallery 'kept' were added as vectors"):
        ReembeddingStore(database).begin("kept", "likeness", other)


def test_a_url_that_is_none_names_its_setting():
    with pytest.raises(ConfigurationError, match="TRUNKLINE_GALLERY_DATABASE: galleries live in sqlite"):
        Database("mysql://host/galleries")


def test_a_database_from_before_quotas_keeps_its_galleries(database, database_url):
    GalleryStore(database).create("pets", "likeness", LIKE, None, keep_images=True)
    with database.write() as session:
        session.execute(text("ALTER TABLE galleries DROP COLUMN identity"))
        session.execute(text("UPDATE gallery_schema SET version = 2"))
    again = Database(database_url)
    store = GalleryStore(again, Limits(quota_of={"small": Quota(galleries=1)}.get))
    assert [record.name for record in store.all()] == ["pets"]
    store.create("own", "likeness", LIKE, None, keep_images=False, identity="small")
    with pytest.raises(QuotaError, match="'small' has 1 galleries"):
        store.create("more", "likeness", LIKE, None, keep_images=False, identity="small")
    again.close()
