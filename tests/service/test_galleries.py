"""GalleryService on real servers, in both forms: add, search, as a head, two gateways, another space."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

pytest.importorskip("sqlalchemy", reason="needs the gallery extra: pip install -e '.[gallery]'")
pytest.importorskip("usearch", reason="needs the gallery extra: pip install -e '.[gallery]'")

from tests.service.embedders import CALIBRATED
from tests.service.embedding_head import DIMENSION, add_version
from tests.service.galleries import class_crops, images_of, make_place
from trunkline.client import AsyncCatalogClient, AsyncClient, AsyncGalleryClient, GalleryImage, ServiceError
from trunkline.core.results import Embedding
from trunkline.testing import serve, serve_split

FORMS = {"one": serve, "split": serve_split}
WITHIN_S = 60.0
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Served:
    address: str
    repository: Path


@pytest.fixture(scope="module")
def crops(tmp_path_factory, photos):
    return class_crops(tmp_path_factory.mktemp("crops"), photos[:3])


@pytest_asyncio.fixture(params=FORMS, scope="module", loop_scope="module")
async def served(request, tmp_path_factory, models) -> AsyncIterator[Served]:
    settings = make_place(tmp_path_factory.mktemp(request.param), models)
    async with FORMS[request.param](**settings) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=WITHIN_S)
        yield Served(host.address, settings["models"])


async def added(galleries, gallery, pictures) -> list[str]:
    """The statuses, in the order of the pictures."""
    answers = sorted([answer async for answer in galleries.add(gallery, pictures)], key=lambda each: each.index)
    return [answer.error.reason if answer.error else answer.status.value for answer in answers]


async def test_images_are_added_searched_asked_as_a_head_and_removed(served, crops, photos):
    names = [photo.stem for photo in photos[:3]]
    async with AsyncGalleryClient(served.address) as galleries, AsyncClient(served.address) as client:
        made = await galleries.create("things", "likeness", threshold=0.5, keep_images=True)
        assert (made.space, made.dimension, made.images, made.threshold) == ("likeness-1", DIMENSION, 0, 0.5)
        some = images_of(crops, names[:2])
        assert await added(galleries, "things", some) == ["ADDED"] * 10
        assert await added(galleries, "things", some) == ["PRESENT"] * 10

        found = await galleries.search("things", photos[0], k=3, by="images", threshold=2.0)
        assert {match.label for match in found.matches} == {names[0]}
        assert found.exact
        assert found.embed_ms > 0
        classes = (await galleries.search("things", photos[1])).matches
        assert (classes[0].label, classes[0].images) == (names[1], 5)

        unknown = await galleries.search("things", photos[2])
        assert not unknown.matches
        assert unknown.nearest_rejected.distance > 0.5
        assert not (await client.classify(photos[2], "gallery:things")).result.labels
        # A class of five pictures works at once.
        assert await added(galleries, "things", images_of(crops, names[2:])) == ["ADDED"] * 5
        answer = await client.classify(photos[2], "gallery:things")
        assert answer.result.labels[0].label == names[2]
        assert 0 < answer.result.labels[0].score <= 1
        both = await client.analyze(photos[2], ["imagenet", ("gallery:things", {"top_k": 1, "threshold": 2.0})])
        assert both.backbone_passes == 1
        assert [label.label for label in both["gallery:things"].value().labels] == [names[2]]

        described = await galleries.get("things")
        assert (described.images, described.classes, described.head_space) == (15, 3, "likeness-1")
        assert (described.index.loaded, described.index.images) == (True, 15)
        assert await galleries.remove("things", [f"{names[2]}/{number}" for number in range(6)]) == (
            5,
            (f"{names[2]}/5",),
        )
        assert not (await galleries.search("things", photos[2])).matches
        assert [each.name async for each in galleries.list()] == ["things"]
        await galleries.delete("things")
        assert [each.name async for each in galleries.list()] == []


async def test_what_is_wrong_costs_its_own_answer_and_says_what_to_do(served, crops, photos):
    async with AsyncGalleryClient(served.address) as galleries, AsyncClient(served.address) as client:
        await galleries.create("wrong", "likeness")
        vector = Embedding("likeness-1", (1.0,) * DIMENSION)
        mixed = [
            GalleryImage(photos[0], "a", "good"),
            GalleryImage(b"no picture", "a", "bad"),
            GalleryImage(vector, "a", "vector"),
            GalleryImage(Embedding("other", vector.values), "a", "space"),
            GalleryImage(Embedding("likeness-1", (1.0,)), "a", "short"),
            GalleryImage(vector, "a", "x" * 256),
        ]
        statuses = await added(galleries, "wrong", mixed)
        assert statuses == [
            "ADDED",
            "INVALID_IMAGE",
            "ADDED",
            "SPACE_MISMATCH",
            "INVALID_REQUEST",
            "INVALID_REQUEST",
        ]
        assert await added(galleries, "none", mixed[:1]) == ["NOT_FOUND"]
        for call, code, reason, text in (
            (galleries.get("none"), "NOT_FOUND", "NOT_FOUND", "no gallery 'none'"),
            (galleries.create("wrong", "likeness", 1.0), "ALREADY_EXISTS", "ALREADY_EXISTS", "other settings"),
            (galleries.create("Wrong", "likeness"), "INVALID_ARGUMENT", "INVALID_REQUEST", "no name of a gallery"),
            (galleries.create("new", "imagenet"), "INVALID_ARGUMENT", "WRONG_TASK", "answers no embedding"),
            (galleries.create("new", "nobody"), "NOT_FOUND", "NOT_FOUND", "no head 'nobody'"),
            (galleries.create("new", "likeness", 3.0), "INVALID_ARGUMENT", "INVALID_REQUEST", "0 to 2"),
            (galleries.search("wrong", photos[0], k=0), "INVALID_ARGUMENT", "INVALID_REQUEST", "1 to 1000"),
            (
                galleries.search("wrong", Embedding("other", vector.values)),
                "FAILED_PRECONDITION",
                "SPACE_MISMATCH",
                "'likeness-1'.*'other'.*gallery reembed wrong",
            ),
            (galleries.reembed("wrong", "imagenet"), "INVALID_ARGUMENT", "WRONG_TASK", "answers no embedding"),
            (client.classify(photos[0], "gallery:none"), "NOT_FOUND", "NOT_FOUND", "no gallery 'none'"),
        ):
            with pytest.raises(ServiceError, match=text) as caught:
                await call
            assert (caught.value.code, caught.value.reason) == (code, reason)
        await galleries.delete("wrong")


async def test_a_calibrated_head_brings_threshold_and_probability(served, crops, photos):
    names = [photo.stem for photo in photos[:2]]
    async with AsyncGalleryClient(served.address) as galleries, AsyncClient(served.address) as client:
        made = await galleries.create("measured", "calibrated")
        assert (made.threshold, made.threshold_is_calibrated) == (CALIBRATED["threshold"], True)
        vectors = [(await client.embed(crops / name / "0.jpg", "calibrated")).result for name in names]
        pairs = zip(vectors, names, strict=True)
        assert await added(galleries, "measured", [GalleryImage(*pair) for pair in pairs]) == ["ADDED"] * 2
        compared = (await client.compare(photos[0], vectors[0], "calibrated")).result
        found = (await galleries.search("measured", photos[0], 1, "images", 2.0)).matches[0]
        assert found.label == names[0]
        assert found.distance == pytest.approx(compared.distance, abs=1e-5)
        assert found.probability == pytest.approx(compared.probability, abs=1e-4)
        answer = await client.classify(photos[0], "gallery:measured")
        if compared.same:
            assert answer.result.labels[0].score == pytest.approx(compared.probability, abs=1e-4)
        else:
            assert not answer.result.labels
        await galleries.delete("measured")


async def test_two_gateways_on_one_database_see_what_the_other_adds(tmp_path, models, crops, photos):
    settings, name = make_place(tmp_path, models), photos[0].stem
    beside = {**settings, "gallery_index": tmp_path / "other"}
    async with (
        serve(**settings) as first,
        serve(**beside) as second,
        AsyncGalleryClient(first.address) as one,
        AsyncGalleryClient(second.address) as other,
    ):
        await one.create("shared", "likeness", keep_images=True)
        assert not (await other.search("shared", photos[0])).matches
        assert await added(one, "shared", images_of(crops, [name])) == ["ADDED"] * 5
        assert await eventually(lambda: other.search("shared", photos[0]), lambda found: found.matches)
        async with AsyncClient(second.address) as client:
            assert (await client.classify(photos[0], "gallery:shared")).result.labels[0].label == name
        await other.remove("shared", [f"{name}/{number}" for number in range(5)])
        await eventually(lambda: one.search("shared", photos[0]), lambda found: not found.matches)


async def test_a_head_that_moved_on_is_said_and_a_re_embedding_follows_it(served, crops, photos):
    names = [photo.stem for photo in photos[:3]]
    async with AsyncGalleryClient(served.address) as galleries, AsyncClient(served.address) as client:
        await galleries.create("moving", "likeness", keep_images=True)
        await added(galleries, "moving", images_of(crops, names))
        space = add_version(served.repository, 2, dimension=48)
        await promote(served.address)
        found = await eventually(lambda: galleries.get("moving"), lambda found: found.head_space == space)
        assert (found.space, found.images) == ("likeness-1", 15)
        for call in (
            galleries.search("moving", photos[0]),
            client.classify(photos[0], "gallery:moving"),
        ):
            with pytest.raises(
                ServiceError, match=r"'likeness-1'.*'likeness-2'.*trunkline gallery reembed"
            ) as caught:
                await call
            assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "SPACE_MISMATCH")
        assert await added(galleries, "moving", [GalleryImage(photos[0])]) == ["SPACE_MISMATCH"]
        started = await galleries.reembed("moving")
        assert (started.space, started.reembedding.total) == ("likeness-1", 15)
        done = await eventually(lambda: galleries.get("moving"), lambda found: found.reembedding.state == "SUCCEEDED")
        assert (done.space, done.dimension, done.reembedding.done) == (space, 48, 15)
        for photo in photos[:3]:
            assert (await galleries.search("moving", photo)).matches[0].label == photo.stem
            assert (await client.classify(photo, "gallery:moving")).result.labels[0].label == photo.stem


async def promote(address: str) -> None:
    async with AsyncCatalogClient(address) as catalog:
        await catalog.promote("likeness", 2, force=True)


async def eventually(ask, fits, within_s: float = WITHIN_S):
    ends_at = time.monotonic() + within_s
    while True:
        found = await ask()
        if fits(found):
            return found
        assert time.monotonic() < ends_at, f"not within time: {found}"
        await asyncio.sleep(0.1)
