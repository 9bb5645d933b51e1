"""What galleries take is bounded: galleries, images, disk and memory, and what comes in is checked."""

import io
import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sqlalchemy", reason="needs the gallery extra: pip install -e '.[gallery]'")
pytest.importorskip("usearch", reason="needs the gallery extra: pip install -e '.[gallery]'")

from tests.conftest import Server, start_server
from tests.service.galleries import environment_of
from trunkline.client import GalleryClient, GalleryImage, ServiceError
from trunkline.core.images import decode_image
from trunkline.core.results import Embedding

LIMITS = {
    "TRUNKLINE_GALLERY_LIMIT": "4",
    "TRUNKLINE_GALLERY_IMAGES": "30",
    "TRUNKLINE_GALLERY_DISK_MIB": "2",
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request, tmp_path_factory, models) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("quotas")
    environment = {**environment_of(folder, models), **LIMITS}
    if request.param == "postgresql":
        environment["TRUNKLINE_GALLERY_DATABASE"] = request.getfixturevalue("postgresql").new_database()
    with start_server(folder / "log", **environment) as started:
        yield started
        assert "Traceback" not in started.log


@pytest.fixture
def galleries(server) -> Iterator[GalleryClient]:
    with GalleryClient(server.address) as client:
        for each in list(client.list()):
            client.delete(each.name)
        yield client


def soon(act, what: str):
    """What act() returns, once it is not refused any more."""
    ends_at = time.monotonic() + 60
    while True:
        try:
            return act()
        except ServiceError as error:
            if error.reason != "QUOTA" or time.monotonic() > ends_at:
                raise AssertionError(what) from error
            time.sleep(0.2)


def vectors(galleries: GalleryClient, name: str, count: int, seed: int = 0) -> list[GalleryImage]:
    made = galleries.get(name)
    random = np.random.default_rng(seed)
    return [
        GalleryImage(Embedding(made.space, tuple(random.normal(size=made.dimension)), None), "thing", f"{seed}-{row}")
        for row in range(count)
    ]


def noise(side: int, seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_galleries_are_limited_and_a_deleted_one_makes_room(galleries):
    names = [f"one-{number}" for number in range(4)]
    for name in names:
        soon(lambda name=name: galleries.create(name, "likeness"), "those of before are not swept")
    with pytest.raises(ServiceError, match="there are 4 galleries, as many as there may be") as caught:
        galleries.create("more", "likeness")
    assert (caught.value.code, caught.value.reason) == ("RESOURCE_EXHAUSTED", "QUOTA")
    assert caught.value.retry_after_s
    galleries.create(names[0], "likeness")  # which is there
    galleries.delete(names[0])
    soon(lambda: galleries.create("more", "likeness"), "the deleted one makes no room")


def test_images_are_limited_one_by_one_and_those_that_are_there_may_be_replaced(galleries):
    soon(lambda: galleries.create("full", "likeness"), "those of before are not swept")
    some = vectors(galleries, "full", 40)
    answers = sorted(galleries.add("full", some), key=lambda answer: answer.index)
    full = [answer for answer in answers if answer.error]
    assert len(full) == 10
    assert {(each.error.code, each.error.reason) for each in full} == {("RESOURCE_EXHAUSTED", "QUOTA")}
    assert galleries.get("full").images == 30
    there = [image for image, answer in zip(some, answers, strict=True) if answer.error is None]
    again = [answer.status for answer in galleries.add("full", there[:5])]
    assert again == ["PRESENT"] * 5
    other = vectors(galleries, "full", 1, seed=1)[0]._replace(id=there[0].id)
    assert [answer.status for answer in galleries.add("full", [other])] == ["REPLACED"]
    assert galleries.remove("full", [there[1].id, "none", "nul\0"])[0] == 1
    assert [answer.status for answer in galleries.add("full", vectors(galleries, "full", 1, 2))] == ["ADDED"]


def test_kept_pictures_are_limited_and_what_is_deleted_is_free_again(galleries):
    pictures = [GalleryImage(noise(300, number), "noise", f"{number}") for number in range(12)]  # 270 KB each
    soon(lambda: galleries.create("kept", "likeness", keep_images=True), "those of before are not swept")
    answers = sorted(galleries.add("kept", pictures), key=lambda answer: answer.index)
    errors = [answer.error for answer in answers if answer.error]
    assert 3 <= len(errors) <= 6
    assert {error.reason for error in errors} == {"QUOTA"}
    assert "TRUNKLINE_GALLERY_DISK_MIB" in errors[0].message
    galleries.create("other", "likeness")
    assert [answer.error for answer in galleries.add("other", vectors(galleries, "other", 3))] == [None] * 3
    kept = [answer.id for answer in answers if answer.error is None]
    galleries.remove("kept", kept[:4])
    assert sum(answer.error is None for answer in galleries.add("kept", pictures)) >= len(kept)
    galleries.delete("kept")

    def add() -> None:
        galleries.create("kept", "likeness", keep_images=True)
        for answer in galleries.add("kept", pictures[:6]):
            if answer.error:
                raise answer.error

    soon(add, "what was deleted is not swept")


def test_rubbish_behind_a_picture_is_not_kept_and_the_picture_is_embedded_anew(galleries, server, photos, tmp_path):
    with Image.open(photos[0]) as opened:
        buffer = io.BytesIO()
        opened.convert("RGB").resize((200, 160)).save(buffer, "JPEG")
    clean = buffer.getvalue()
    soon(lambda: galleries.create("kept", "likeness", keep_images=True), "those of before are not swept")
    rubbish = [clean + bytes([number]) * (8 << 20) for number in range(4)]
    images = [GalleryImage(data, "photo", f"{number}") for number, data in enumerate(rubbish)]
    assert [answer.error for answer in galleries.add("kept", images)] == [None] * 4  # 32 MiB, of 2 MiB that may be
    assert {answer.status for answer in galleries.add("kept", images)} == {"PRESENT"}
    found = galleries.search("kept", clean, 10, "images", 2.0).matches
    assert len(found) == 4
    assert max(match.distance for match in found) < 1e-6


def test_what_a_search_and_an_image_bring_is_checked(galleries):
    soon(lambda: galleries.create("checked", "likeness"), "those of before are not swept")
    made = galleries.get("checked")

    def vector(*values: float) -> Embedding:
        return Embedding(made.space, (values * made.dimension)[: made.dimension], None)

    list(galleries.add("checked", [GalleryImage(vector(1.0), "thing", "a")]))
    for threshold in (math.nan, math.inf, -math.inf, -1.0, 1e9, 2.01):
        for by in ("images", "classes"):
            with pytest.raises(ServiceError, match="threshold is") as caught:
                galleries.search("checked", vector(1.0), 10, by, threshold)
            assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        with pytest.raises(ServiceError, match="threshold is"):
            galleries.search("checked", noise(64, 1), 10, "classes", threshold)
    for count in (0, -1, 1001, 2**31 - 1):
        with pytest.raises(ServiceError, match="k is"):
            galleries.search("checked", vector(1.0), count)
    odd = [vector(math.nan), vector(math.inf), vector(0.0), vector(1.0, math.nan), vector(1.0, -math.inf)]
    for each in [*odd, Embedding(made.space, (1.0,), None), Embedding(made.space, (), None)]:
        with pytest.raises(ServiceError) as caught:
            galleries.search("checked", each)
        assert caught.value.code == "INVALID_ARGUMENT"
    answers = list(galleries.add("checked", [GalleryImage(each, "thing", f"{row}") for row, each in enumerate(odd)]))
    assert {answer.error.code for answer in answers} == {"INVALID_ARGUMENT"}
    texts = ("nul\0", "x" * 256, "line\n", "\u202e")
    for key, label in [*((text, "") for text in texts), *(("", text) for text in texts)]:
        answer = next(iter(galleries.add("checked", [GalleryImage(vector(1.0), label, key)])))
        assert answer.error.code == "INVALID_ARGUMENT"
    for call in (galleries.get, galleries.delete, galleries.cancel_reembedding, galleries.reembed):
        for name in ("nul\0", "../x", "x" * 200, "Ä"):
            with pytest.raises(ServiceError, match="there is no gallery") as caught:
                call(name)
            assert caught.value.code == "NOT_FOUND"
    assert galleries.get("checked").images == 1


def test_a_deleted_gallery_gives_its_disk_back(tmp_path, models):
    environment = environment_of(tmp_path, models)
    path = tmp_path / "galleries" / "galleries.db"
    pictures = [GalleryImage(noise(700, number), "noise", f"{number}") for number in range(12)]  # 1.5 MB each
    with start_server(tmp_path / "log", **environment) as server, GalleryClient(server.address) as galleries:
        galleries.create("large", "likeness", keep_images=True)
        assert not [answer.error for answer in galleries.add("large", pictures) if answer.error]
        galleries.create("small", "likeness")
        galleries.delete("large")
        ends_at = time.monotonic() + 60
        while True:
            with closing(sqlite3.connect(path)) as looker:
                left = looker.execute("SELECT COUNT(*) FROM gallery_images").fetchone()[0]
                pages = looker.execute("PRAGMA page_count").fetchone()[0]
            if not left and pages < 500:
                break
            assert time.monotonic() < ends_at, (left, pages)
            time.sleep(0.2)
        assert [each.name for each in galleries.list()] == ["small"]
        assert server.stop() == 0
    assert path.stat().st_size < 2_000_000


def test_a_kept_picture_is_the_picture_that_was_sent(tmp_path, models, photos):
    environment = environment_of(tmp_path, models)
    with start_server(tmp_path / "log", **environment) as server, GalleryClient(server.address) as galleries:
        galleries.create("kept", "likeness", keep_images=True)
        sent = photos[0].read_bytes()
        image = GalleryImage(sent + bytes(1 << 20), "a", "a")
        assert [answer.error for answer in galleries.add("kept", [image])] == [None]
        assert server.stop() == 0
    with closing(sqlite3.connect(tmp_path / "galleries" / "galleries.db")) as looker:
        (kept,) = looker.execute("SELECT data FROM gallery_images").fetchone()
    assert len(kept) <= len(sent)
    assert decode_image(kept).tobytes() == decode_image(sent).tobytes()
