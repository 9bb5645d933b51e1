"""A picture that ends a backbone is not carried to the next one; what a backbone that stops never began is."""

import asyncio
import io
import itertools
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Server, free_port, start_server
from tests.service.scrape import Scrape, get
from trunkline.client import AsyncClient, Client, ServiceError

EXTRACT = "trunkline.api.inference.v1.BackboneService/ExtractFeatures"


@dataclass(frozen=True)
class Backbone:
    server: Server
    metrics: str

    def begun(self) -> int:
        """Pictures that it was given."""
        return int(
            Scrape(get(self.metrics, "/metrics")[1]).value("grpc_server_call_started_total", grpc_method=EXTRACT)
        )


@dataclass(frozen=True)
class Split:
    gateway: str
    backbones: tuple[Backbone, Backbone]


@pytest.fixture
def split(tmp_path: Path) -> Iterator[Split]:
    """A gateway, two backbones and a head service, each a process."""
    with ExitStack() as stack:

        def start(name: str, *arguments: str, **environment: str) -> Server:
            return stack.enter_context(start_server(tmp_path / name, *arguments, **environment))

        metrics = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        backbones = [
            Backbone(start(f"backbone {number}", "backbone", TRUNKLINE_METRICS_ADDRESS=address), address)
            for number, address in enumerate(metrics)
        ]
        head = start("head", "head", "--task", "classification")
        gateway = start(
            "gateway",
            "gateway",
            TRUNKLINE_BACKBONE_ADDRESS=f"ipv4:{','.join(each.server.address for each in backbones)}",
            TRUNKLINE_HEAD_ADDRESSES=head.address,
            TRUNKLINE_CATALOG_ADDRESS=f"127.0.0.1:{free_port()}",
        )
        yield Split(gateway.address, (backbones[0], backbones[1]))


def noise(side: int, scale: int = 1) -> bytes:
    """A PNG of side x side pixels, of squares of `scale` pixels."""
    written = io.BytesIO()
    small = Image.effect_noise((side // scale, side // scale), 60).convert("RGB")
    small.resize((side, side), Image.Resampling.NEAREST).save(written, "png")
    return written.getvalue()


def given_to_one(backbones: tuple[Backbone, Backbone], call: "Future[object]") -> tuple[Backbone, Backbone]:
    """The backbone that has begun with the only picture, and the other one."""
    while not call.done():
        for backbone, other in (backbones, backbones[::-1]):
            if backbone.begun():
                return backbone, other
        time.sleep(0.01)
    raise AssertionError(f"it was over before it was seen: {call.result()}")


def test_a_picture_whose_backbone_was_killed_is_not_carried_to_the_next(split):
    """Neither by the gateway nor by its client, both of which try small ones again."""
    picture = noise(7000, 100)  # 147 MB of pixels, which take a while to decode
    assert len(picture) < 256 * 1024  # so that gRPC, too, would send it again by default
    with Client(split.gateway) as client, ThreadPoolExecutor(1) as thread:
        call = thread.submit(client.classify, picture, "imagenet", timeout_s=30)
        killed, other = given_to_one(split.backbones, call)
        time.sleep(0.05)
        killed.server.process.send_signal(signal.SIGKILL)
        with pytest.raises(ServiceError) as caught:
            call.result(60)
        assert caught.value.code == "UNAVAILABLE"
        assert "ended while it worked on a large picture" in caught.value.message
        assert other.begun() == 0
        assert client.classify(noise(64), "imagenet", timeout_s=30).result.labels
        assert other.begun() == 1


async def test_pictures_of_a_backbone_that_stops_are_answered_by_the_other(split):
    """Those above 256 KiB, too, which gRPC gives one try by default."""
    pictures, done = [noise(64), noise(600)], asyncio.Event()
    assert len(pictures[1]) > 300_000
    outcomes: Counter[str] = Counter()

    async def caller(client: AsyncClient) -> None:
        for picture in itertools.cycle(pictures):
            if done.is_set():
                return
            try:
                await client.classify(picture, "imagenet", timeout_s=30)
                outcomes["OK"] += 1
            except ServiceError as error:
                outcomes[f"{error.code}: {error.message}"] += 1

    async with AsyncClient(split.gateway) as client:
        callers = [asyncio.create_task(caller(client)) for _ in range(8)]
        await asyncio.sleep(1)
        assert await asyncio.to_thread(split.backbones[0].server.stop) == 0
        await asyncio.sleep(1)
        done.set()
        await asyncio.gather(*callers)
    assert outcomes.keys() == {"OK"}, outcomes
    assert outcomes["OK"] > 20
