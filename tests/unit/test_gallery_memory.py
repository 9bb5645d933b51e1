"""Galleries in memory stay within their bound, also while they are loaded; one beyond it is refused."""

import asyncio

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="needs the gallery extra: pip install -e '.[gallery]'")
pytest.importorskip("usearch", reason="needs the gallery extra: pip install -e '.[gallery]'")

from sqlalchemy import text

from trunkline.core.errors import QuotaError
from trunkline.core.galleries import AddStatus
from trunkline.core.results import Embedding
from trunkline.database.threads import Threads
from trunkline.galleries.changes import ChangeReader
from trunkline.galleries.database import Database
from trunkline.galleries.gallery_cache import GalleryCache
from trunkline.galleries.items import ItemStore, NewItem
from trunkline.galleries.limits import Limits, memory_of
from trunkline.galleries.reembedding import ReembeddingStore
from trunkline.galleries.schema import GalleryRow
from trunkline.galleries.snapshot import Snapshots
from trunkline.galleries.store import GalleryStore

DIMENSION = 8
LIKE = Embedding("space-1", (1.0,) + (0.0,) * (DIMENSION - 1))
ONE = memory_of(200, 1, DIMENSION)


class Place:
    def __init__(self, folder, limits: Limits | None = None, url: str = "") -> None:
        self.database = Database(url or f"sqlite:///{folder}/galleries.db")
        self.store = GalleryStore(self.database, limits)
        self.items = ItemStore(self.database, limits)
        self.snapshots = Snapshots(folder / "index")

    def cache(self, limit_bytes: int) -> GalleryCache:
        threads = Threads("gallery database", 2, within_s=None)
        return GalleryCache(self.store, threads, threads, ChangeReader(self.database), self.snapshots, limit_bytes)

    def fill(self, name: str, count: int, picture: bytes | None = None, label: str = "thing") -> list[object]:
        record = self.store.create(name, "head", LIKE, None, keep_images=picture is not None)
        random = np.random.default_rng(len(name))
        new = []
        for row in range(count):
            vector = random.normal(size=DIMENSION).astype(np.float32)
            named = label.format(row=row)
            new.append(NewItem(f"{row}", named, f"{row}", vector / np.linalg.norm(vector), picture))
        return list(self.items.add(record.number, "space-1", new))


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.database.close()


def test_others_make_room_before_a_gallery_is_loaded(place):
    names = ["a", "bb", "ccc", "dddd"]
    for name in names:
        place.fill(name, 200)

    async def main() -> None:
        cache = place.cache(2 * ONE + 100)
        await cache.follow()
        for name in (*names, *reversed(names)):
            found = await cache.collection(cache.known(name))
            assert found.state.images == 200
            assert sum(cache.index_state(cache.known(each)).loaded for each in names) <= 2
        await asyncio.gather(*(cache.collection(cache.known(name)) for name in names))  # at once
        assert sum(cache.index_state(cache.known(each)).loaded for each in names) <= 2
        await cache.close()

    asyncio.run(main())


def test_one_that_is_too_large_is_refused_and_the_others_answer(place):
    place.fill("small", 100)
    place.fill("large", 600)

    async def main() -> None:
        cache = place.cache(2 * ONE)
        await cache.follow()
        with pytest.raises(QuotaError, match="TRUNKLINE_GALLERY_MEMORY_MIB"):
            await cache.collection(cache.known("large"))
        assert (await cache.collection(cache.known("small"))).state.images == 100
        await cache.close()

    asyncio.run(main())


def test_no_gallery_grows_beyond_what_could_be_searched(tmp_path):
    place = Place(tmp_path, Limits(memory_bytes=ONE))
    found = place.fill("one", 230)
    assert found[:195] == [AddStatus.ADDED] * 195
    assert isinstance(found[-1], QuotaError)
    each_its_class = place.fill("classes", 230, label="class-{row}")
    assert sum(status is AddStatus.ADDED for status in each_its_class) < 100
    assert "of memory when it is searched" in each_its_class[-1].message
    place.database.close()


def test_bytes_are_counted_as_images_come_go_and_are_replaced(tmp_path):
    place = Place(tmp_path, Limits(kept_bytes=60_000))
    place.fill("one", 5, picture=b"x" * 10_000)
    number = place.store.get("one").number
    vector = np.eye(DIMENSION, dtype=np.float32)[0]
    more = NewItem("more", "", "more", vector, b"y" * 10_000)
    assert isinstance(place.items.add(number, "space-1", [more])[0], QuotaError)
    smaller = NewItem("0", "", "other", vector, b"z" * 100)
    assert place.items.add(number, "space-1", [smaller]) == [AddStatus.REPLACED]
    assert place.items.add(number, "space-1", [more]) == [AddStatus.ADDED]
    place.items.remove(number, ["more", "1", "2", "3", "4", "0"])
    with place.database.read() as session:
        assert session.get(GalleryRow, number).kept_bytes == 0
    place.fill("two", 5, picture=b"x" * 10_000)
    place.store.delete("two")  # it takes its disk until it is swept
    assert isinstance(place.items.add(number, "space-1", [more])[0], QuotaError)
    pieces = 0
    while ReembeddingStore(place.database).sweep():
        pieces += 1
    assert place.items.add(number, "space-1", [more]) == [AddStatus.ADDED]
    place.database.close()


def test_a_huge_gallery_is_swept_in_pieces(tmp_path):
    place = Place(tmp_path)
    place.fill("one", 9, picture=bytes(10_000_000))
    place.store.delete("one")
    pieces = 0
    while ReembeddingStore(place.database).sweep():
        pieces += 1
    assert 4 <= pieces <= 8  # 32 MiB each
    place.database.close()


def test_an_older_database_is_counted_when_it_is_opened(tmp_path, database_url):
    place = Place(tmp_path, url=database_url)
    place.fill("one", 3, picture=b"x" * 1000)
    with place.database.write() as session:
        session.execute(text("ALTER TABLE galleries DROP COLUMN kept_bytes"))
        session.execute(text("UPDATE gallery_schema SET version = 1"))
    place.database.close()
    again = Place(tmp_path, url=database_url)
    with again.database.read() as session:
        counted = session.execute(text("SELECT kept_bytes FROM galleries")).scalar_one()
    assert counted == 3 * (512 + 4 * DIMENSION + 1000)
    again.database.close()
