"""A bad picture costs nobody else's request, and the process neither grows nor dies."""

import asyncio
import io

import psutil
import pytest
from PIL import Image

from trunkline.client import AsyncClient, Client, ServiceError


@pytest.fixture(scope="module")
def bad_pictures(samples) -> list[bytes]:
    good = (samples / "coffee.jpg").read_bytes()
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    return [b"", b"no picture", good[: len(good) // 2], good[:20], bomb.getvalue()]


async def test_bad_pictures_in_a_burst_cost_no_good_request(either_form, photos, bad_pictures):
    good = [photo.read_bytes() for photo in photos] * 5
    mixed = [picture for pair in zip(good, bad_pictures * 10, strict=False) for picture in pair]
    async with AsyncClient(either_form.address) as client:
        alone = {data: (await client.classify(data)).result for data in set(good)}
        answers = await asyncio.gather(*(client.classify(data) for data in mixed), return_exceptions=True)
    for data, answer in zip(mixed, answers, strict=True):
        if data in alone:
            assert answer.result == alone[data]
        else:
            assert isinstance(answer, ServiceError)
            assert answer.code == "INVALID_ARGUMENT"


def test_the_process_does_not_grow_with_bad_pictures(all_in_one, photos, bad_pictures):
    process = psutil.Process(all_in_one.process.pid)

    def burst() -> int:
        with Client(all_in_one.address) as client:
            for data in bad_pictures * 20:
                with pytest.raises(ServiceError):
                    client.classify(data)
            client.classify(photos[0])
        return process.memory_info().rss

    burst()
    first = burst()
    last = [burst() for _ in range(3)][-1]
    assert last < first * 1.05


def test_a_picture_over_the_byte_limit_is_refused_with_the_limit(target):
    with Client(target) as client, pytest.raises(ServiceError) as caught:
        client.classify(b"\xff\xd8" + bytes(17 * 1024 * 1024))
    assert caught.value.reason == "IMAGE_TOO_LARGE"
    assert "16777216" in caught.value.message
