"""Indexes of galleries: exact, approximate, from a file; they follow the database, and the database decides."""

import os
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="needs the gallery extra: pip install -e '.[gallery]'")
pytest.importorskip("usearch", reason="needs the gallery extra: pip install -e '.[gallery]'")

from trunkline.core.galleries import SearchBy
from trunkline.core.results import Calibration, Embedding
from trunkline.galleries.changes import ChangeReader
from trunkline.galleries.collection import Collection, GenerationGoneError
from trunkline.galleries.database import Database
from trunkline.galleries.graph import Graph
from trunkline.galleries.items import ItemStore, NewItem
from trunkline.galleries.reembedding import ReembeddingStore
from trunkline.galleries.rows import Rows
from trunkline.galleries.search import search
from trunkline.galleries.snapshot import Snapshots, Stamp
from trunkline.galleries.store import GalleryStore

DIMENSION = 24


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (count, DIMENSION) around 40 centres."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(40, DIMENSION))
    found = centres[random.integers(40, size=count)] + 0.5 * random.normal(size=(count, DIMENSION))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def true_nearest(vectors: np.ndarray, query: np.ndarray, count: int) -> list[int]:
    return (np.argsort(-(vectors @ query))[:count] + 1).tolist()


class Place:
    """A gallery in a database, and everything that reads it."""

    def __init__(self, folder, calibration: Calibration | None = None) -> None:
        self.database = Database(f"sqlite:///{folder}/galleries.db")
        self.store, self.items = GalleryStore(self.database), ItemStore(self.database)
        self.reader, self.snapshots = ChangeReader(self.database), Snapshots(folder / "index")
        like = Embedding("space-1", (1.0,) + (0.0,) * (DIMENSION - 1), calibration)
        self.number = self.store.create("pets", "likeness", like, None, keep_images=True).number

    def add(self, vectors: np.ndarray, start: int = 0, picture: bytes | None = None) -> None:
        new = [
            NewItem(f"{row}", f"class-{row % 3}", f"{row}", vector, picture)
            for row, vector in enumerate(vectors, start)
        ]
        self.items.add(self.number, "space-1", new)

    def collection(self, exact_up_to: int = 10**9) -> Collection:
        made = Collection(self.store.get("pets"), self.reader, self.snapshots, exact_up_to)
        made.load()
        return made

    def keys(self, collection: Collection, query: np.ndarray, count: int = 10) -> list[str]:
        return [each.id for each in search(collection, self.items, query, count, SearchBy.IMAGES, None).matches]


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.database.close()


def test_rows_find_the_true_nearest_also_after_they_grew_and_shrank():
    vectors, rows = clustered(5000), Rows(DIMENSION)
    numbers = np.arange(1, 5001)
    for start in range(0, 5000, 700):
        rows.add(numbers[start : start + 700], vectors[start : start + 700])
    rows.add(numbers[:100], vectors[:100])  # told twice
    assert len(rows) == 5000
    assert rows.nearest(vectors[7], 10).tolist() == true_nearest(vectors, vectors[7], 10)
    for number in range(1, 4001):
        rows.remove(number)
        rows.remove(number)
    assert len(rows) == 1000
    assert rows.nearest(vectors[4500], 5).tolist() == [
        number + 4000 for number in true_nearest(vectors[4000:], vectors[4500], 5)
    ]
    assert rows.nearest(vectors[0], 5000).size == 1000


def test_a_graph_measures_its_recall_and_is_the_same_from_a_file(tmp_path):
    vectors, graph = clustered(3000), Graph(DIMENSION)
    numbers = np.arange(1, 3001)
    graph.add(numbers, vectors)
    graph.measure(lambda: iter([(numbers[:1000], vectors[:1000]), (numbers[1000:], vectors[1000:])]))
    assert graph.recall >= 0.98
    graph.remove(5)
    snapshots, stamp = Snapshots(tmp_path), Stamp("uid", 3, 17)
    snapshots.save(graph, stamp)
    again, found = snapshots.load("uid", 3, DIMENSION)
    assert (found, len(again), again.recall, again.expansion) == (stamp, 2999, graph.recall, graph.expansion)
    assert again.nearest(vectors[9], 10).tolist() == graph.nearest(vectors[9], 10).tolist()
    assert snapshots.load("uid", 4, DIMENSION) is None
    assert snapshots.load("other", 3, DIMENSION) is None


def test_a_damaged_file_is_left_alone(tmp_path):
    graph = Graph(DIMENSION)
    graph.add(np.arange(1, 101), clustered(100))
    snapshots = Snapshots(tmp_path)
    snapshots.save(graph, Stamp("uid", 1, 1))
    file = next(tmp_path.glob("*.usearch"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(data)
    assert snapshots.load("uid", 1, DIMENSION) is None
    file.unlink()
    assert snapshots.load("uid", 1, DIMENSION) is None
    snapshots.remove("uid")
    assert not list(tmp_path.iterdir())


def test_a_search_answers_distances_classes_and_rejects_what_is_unknown(tmp_path):
    place = Place(tmp_path, Calibration(threshold=0.5, slope=-10.0, offset=5.0))
    axes = np.eye(DIMENSION, dtype=np.float32)
    place.add(axes[:6])
    collection = place.collection()
    near = axes[0] + 0.1 * axes[1]
    near /= np.linalg.norm(near)
    found = search(collection, place.items, near, 3, SearchBy.IMAGES, None)
    assert [each.id for each in found.matches] == ["0"]
    best = found.matches[0]
    assert best.distance == pytest.approx(np.linalg.norm(near - axes[0]), abs=1e-6)
    assert best.similarity == pytest.approx(float(near @ axes[0]), abs=1e-6)
    assert best.probability == pytest.approx(1 / (1 + np.exp(10 * best.distance - 5)), abs=1e-6)
    unknown = search(collection, place.items, axes[9], 3, SearchBy.IMAGES, None)
    assert (unknown.matches, unknown.threshold) == ((), 0.5)
    assert unknown.nearest_rejected.distance == pytest.approx(np.sqrt(2), abs=1e-6)
    classes = search(collection, place.items, axes[0], 5, SearchBy.CLASSES, 2.0)
    assert (classes.matches[0].label, classes.matches[0].images) == ("class-0", 2)
    assert len(classes.matches) == 3
    assert classes.matches[0].distance == pytest.approx(np.linalg.norm(axes[0] - (axes[0] + axes[3]) / np.sqrt(2)))
    place.database.close()


def test_a_large_gallery_gets_a_graph_that_follows_and_is_loaded_from_its_file(place):
    vectors = clustered(1500)
    place.add(vectors)
    collection = place.collection(exact_up_to=1000)
    before = [place.keys(collection, vectors[row]) for row in range(20)]
    assert collection.exact
    assert collection.untended
    collection.tend()
    state = collection.state
    assert (state.exact, state.images, state.recall_at_10 >= 0.98) == (False, 1500, True)
    after = [place.keys(collection, vectors[row]) for row in range(20)]
    share = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(before, after, strict=True)])
    assert share >= 0.98
    more = clustered(50, seed=9)
    place.add(more, start=1500)
    place.items.remove(place.number, ["7"])
    collection.catch_up()
    assert place.keys(collection, more[3], 1) == ["1503"]
    assert place.keys(collection, vectors[7], 1) != ["7"]
    collection.close()
    place.add(clustered(5, seed=11), start=4000)
    again = place.collection(exact_up_to=1000)
    assert not again.exact  # from the file, not built
    assert (again.state.images, again.state.recall_at_10) == (1554, state.recall_at_10)
    assert place.keys(again, clustered(5, seed=11)[2], 1) == ["4002"]
    again.close()


def test_an_image_that_is_gone_is_not_found_even_by_an_index_that_has_not_heard(place):
    vectors = clustered(100)
    place.add(vectors)
    collection = place.collection()
    place.items.remove(place.number, ["3"])
    assert place.keys(collection, vectors[3], 1) != ["3"]
    place.items.remove(place.number, [f"{row}" for row in range(95)])
    assert len(place.keys(collection, vectors[3], 10)) == 5


def test_a_new_generation_is_found_out_and_loaded_anew(place):
    place.add(clustered(30), picture=b"p")
    collection = place.collection()
    store = ReembeddingStore(place.database)
    store.begin("pets", "likeness", Embedding("space-2", (1.0,) * DIMENSION))
    claim, vectors = store.take(60), clustered(30, seed=5)
    store.put(claim, [(number, vectors[number - 1]) for number, _ in store.todo(claim, 0, 100)], 60)
    collection.catch_up()  # nothing has changed yet
    assert store.finish(claim)
    with pytest.raises(GenerationGoneError):
        collection.catch_up()
    assert place.keys(place.collection(), vectors[4], 1) == ["4"]


def test_searches_go_on_while_a_gallery_grows(place):
    vectors = clustered(1200)
    place.add(vectors[:800])
    collection = place.collection(exact_up_to=500)
    wrong: list[object] = []
    stopped = threading.Event()

    def ask() -> None:
        random = np.random.default_rng(threading.get_ident())
        while not stopped.is_set():
            row = int(random.integers(800))
            try:
                if place.keys(collection, vectors[row], 1) != [f"{row}"]:
                    wrong.append(row)
            except Exception as error:  # shown below
                wrong.append(error)
            time.sleep(0.005)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    collection.tend()
    for start in range(800, 1200, 40):
        place.add(vectors[start : start + 40], start=start)
        collection.catch_up()
    stopped.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert collection.state.images == 1200


def test_a_file_that_does_not_answer_is_left_alone_and_the_gallery_is_read_from_the_database(place, caplog):
    place.add(clustered(50))
    uid = place.store.get("pets").uid
    place.snapshots._folder.mkdir()
    sidecar = place.snapshots._sidecar(uid)
    os.mkfifo(sidecar)
    began_at = time.monotonic()
    try:
        for _ in range(3):
            collection = place.collection(exact_up_to=10)
            assert collection.state.images == 50
            collection.close()
    finally:
        with suppress(OSError):  # nobody reads where a FIFO is refused at once
            os.close(os.open(sidecar, os.O_WRONLY | os.O_NONBLOCK))
    assert time.monotonic() - began_at < 30
    assert "is rebuilt" in caplog.text
