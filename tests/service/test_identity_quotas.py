"""How much one identity may take: calls, pictures and pixels; galleries and jobs, counted in the database."""

import asyncio
import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.service.access import credentials_of, write_access
from trunkline.client import (
    AsyncClient,
    AsyncGalleryClient,
    Credentials,
    GalleryImage,
    HeadAsk,
    ServiceError,
)
from trunkline.core.errors import QuotaError
from trunkline.core.jobs import JobState
from trunkline.core.train_request import TrainRequest
from trunkline.jobs.database import Database
from trunkline.jobs.leases import Leases
from trunkline.jobs.store import JobStore
from trunkline.serving.security.callers import Caller
from trunkline.serving.security.quota import Bucket, Meter, Quota
from trunkline.testing import serve

ROLES = ["infer", "gallery-read", "gallery-write"]


def settings(folder: Path, quota: dict[str, float], **more: object) -> dict[str, object]:
    identities = {"small": {"roles": ROLES, "quota": quota}, "large": {"roles": ROLES}}
    file = write_access(folder / "access.json", identities)
    return {"auth": ("keys",), "access_file": str(file), "heads": ("imagenet", "pets"), **more}


async def reason(call) -> str:
    try:
        await call
    except ServiceError as error:
        return error.reason
    return "OK"


def test_a_bucket_gives_a_second_at_once_and_then_its_rate(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    bucket = Bucket(4)
    for _ in range(4):
        assert bucket.wait_s() == 0
        bucket.take()
    assert bucket.wait_s() == pytest.approx(0.25)
    now += 0.25
    assert bucket.wait_s() == 0
    bucket.take(9)  # what is taken beyond is paid by those who come next
    assert bucket.wait_s() == pytest.approx(9 / 4)
    now += 1000
    assert bucket.wait_s() == 0


def test_a_slow_rate_allows_one_call():
    meter = Meter("x", Quota(calls_per_s=0.1))
    meter.enter()
    with pytest.raises(QuotaError) as caught:
        meter.enter()
    assert 9 < caught.value.retry_after_s <= 10


async def test_calls_above_the_rate_are_refused_with_when_to_come_again(tmp_path):
    async with serve(**settings(tmp_path, {"calls_per_s": 2})) as host:
        async with AsyncClient(host.address, credentials_of("small")) as client:
            found = [await reason(client.get_head("imagenet")) for _ in range(6)]
            assert found[:2] == ["OK", "OK"]
            assert "QUOTA" in found[2:]
            refused = await asyncio.gather(*(client.get_head("imagenet") for _ in range(6)), return_exceptions=True)
            error = next(each for each in refused if isinstance(each, ServiceError))
            assert error.code == "RESOURCE_EXHAUSTED"
            assert 0 < error.retry_after_s <= 0.5
        async with AsyncClient(host.address, credentials_of("large")) as client:
            assert [await reason(client.get_head("imagenet")) for _ in range(20)] == ["OK"] * 20


async def test_a_noisy_caller_costs_a_good_one_nothing(tmp_path, photos):
    async with (
        serve(**settings(tmp_path, {"calls_per_s": 5})) as host,
        AsyncClient(host.address, credentials_of("small")) as noisy,
        AsyncClient(host.address, credentials_of("large")) as good,
    ):
        stop = asyncio.Event()
        found: list[str] = []

        async def make_noise() -> None:
            while not stop.is_set():
                found.append(await reason(noisy.classify(photos[0], "imagenet")))

        noise = [asyncio.create_task(make_noise()) for _ in range(8)]
        answers = [await reason(good.classify(photos[1], "imagenet")) for _ in range(20)]
        stop.set()
        await asyncio.gather(*noise)
    assert answers == ["OK"] * 20
    assert found.count("QUOTA") > found.count("OK")


async def test_calls_at_a_time(tmp_path, photos):
    async with (
        serve(**settings(tmp_path, {"calls_in_flight": 1})) as host,
        AsyncClient(host.address, credentials_of("small")) as client,
    ):
        found = await asyncio.gather(*(reason(client.classify(photos[0], "imagenet")) for _ in range(4)))
        assert sorted(set(found)) == ["OK", "QUOTA"]
        assert await reason(client.classify(photos[0], "imagenet")) == "OK"  # places are given back
        assert await reason(client.classify(b"no picture", "imagenet")) == "INVALID_IMAGE"
        assert await reason(client.classify(photos[0], "imagenet")) == "OK"


async def test_pixels_are_paid_by_those_who_come_next(tmp_path):
    picture = io.BytesIO()
    Image.fromarray(np.zeros((600, 1000, 3), np.uint8)).save(picture, "PNG")
    async with (
        serve(**settings(tmp_path, {"pixels_per_s": 300_000})) as host,
        AsyncClient(host.address, credentials_of("small")) as client,
    ):
        assert await reason(client.classify(picture.getvalue(), "imagenet")) == "OK"
        assert await reason(client.classify(picture.getvalue(), "imagenet")) == "QUOTA"
        await asyncio.sleep(0.3)  # 600,000 pixels take a second to be paid, beyond the 300,000 of the first
        assert await reason(client.classify(picture.getvalue(), "imagenet")) == "QUOTA"
        await asyncio.sleep(1.5)
        assert await reason(client.classify(picture.getvalue(), "imagenet")) == "OK"


async def test_each_picture_of_a_stream_counts(tmp_path, photos):
    async with (
        serve(**settings(tmp_path, {"calls_per_s": 3})) as host,
        AsyncClient(host.address, credentials_of("small")) as client,
    ):
        pictures = [photos[0]] * 8
        found = [
            "OK" if each.error is None else each.error.reason
            async for each in client.analyze_stream(pictures, [HeadAsk("imagenet")])
        ]
    assert found.count("OK") >= 3
    assert "QUOTA" in found


async def test_a_new_quota_holds_when_the_file_changes(tmp_path):
    given = settings(tmp_path, {"calls_per_s": 1})
    async with serve(**given) as host, AsyncClient(host.address, credentials_of("small")) as client:
        assert "QUOTA" in [await reason(client.get_head("imagenet")) for _ in range(4)]
        settings(tmp_path, {"calls_per_s": 1000})
        await asyncio.sleep(2.5)
        assert [await reason(client.get_head("imagenet")) for _ in range(20)] == ["OK"] * 20


# Galleries ------------------------------------------------------------------------------------------------------


async def test_galleries_and_their_images_are_counted_for_who_made_them(tmp_path, photos):
    pytest.importorskip("usearch")
    quota = {"galleries": 2, "gallery_images": 3}
    where = {"gallery_database": f"sqlite:///{tmp_path}/galleries.db", "gallery_index": tmp_path / "index"}
    async with serve(**settings(tmp_path, quota, **where)) as host:

        def client(name: str) -> AsyncGalleryClient:
            return AsyncGalleryClient(host.address, credentials=credentials_of(name))

        async def add(galleries: AsyncGalleryClient, gallery: str, *ids: str) -> list[str]:
            images = [GalleryImage(photos[index % len(photos)], "x", id=each) for index, each in enumerate(ids)]
            return [
                "OK" if answer.error is None else answer.error.reason
                async for answer in galleries.add(gallery, images)
            ]

        async with client("small") as small, client("large") as large:
            await small.create("one", "pets")
            await small.create("two", "pets")
            assert await reason(small.create("three", "pets")) == "QUOTA"
            await large.create("three", "pets")
            assert await add(small, "one", "a", "b") == ["OK", "OK"]
            assert sorted(await add(small, "two", "c", "d")) == ["OK", "QUOTA"]
            assert await add(large, "two", "e") == ["QUOTA"]  # whoever adds: it is of who made the gallery
            assert await add(large, "three", "a", "b", "c", "d") == ["OK"] * 4
            await small.delete("one")
            assert await add(small, "two", "f") == ["OK"]
            assert await reason(small.create("four", "pets")) == "OK"


# Jobs -----------------------------------------------------------------------------------------------------------


def caller(name: str, **quota: int) -> Caller:
    return Caller(name, frozenset(), quota=Quota(**quota))


def made(store: JobStore, name: str, who: Caller) -> str:
    return store.create("", TrainRequest(name=name, data="/data", task="classification"), "models", who).id


def test_jobs_that_wait_and_run_are_counted_for_who_made_them(database_url):
    database = Database(database_url)
    store, leases = JobStore(database, queue=100), Leases(database)
    small, large = caller("small", jobs_queued=2, jobs_running=1), caller("large")
    first, second = made(store, "a", small), made(store, "b", small)
    with pytest.raises(QuotaError, match="2 training jobs of 'small' wait already"):
        made(store, "c", small)
    third = made(store, "d", large)
    taken = [leases.take(30.0) for _ in range(3)]
    assert [claim and claim.job for claim in taken] == [first, third, None]  # one of small at a time
    store.cancel(first)
    leases.lost(taken[0], "was ended")
    assert store.get(first).state is JobState.CANCELLED
    assert leases.take(30.0).job == second
    made(store, "e", small)
    database.close()


async def test_a_client_without_quota_is_not_metered(tmp_path):
    async with serve(heads=("imagenet",)) as host, AsyncClient(host.address, Credentials()) as client:
        assert [await reason(client.get_head("imagenet")) for _ in range(20)] == ["OK"] * 20
