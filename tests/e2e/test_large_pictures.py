"""Pictures of 49 megapixels in a few hundred kilobytes, many at once: memory is bounded, small ones go past them."""

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest
from PIL import Image

from tests.conftest import Server, start_server
from tests.unit.pictures import encode
from trunkline.client import Client, ServiceError

AT_ONCE = 10
ROOM_MIB = 300
pytestmark = pytest.mark.timeout(900)
_PATIENCE_S = 600  # on a machine that is busy with more


@pytest.fixture(scope="module", params=["all in one", "split"])
def server(request, tmp_path_factory) -> Iterator[Server]:
    arguments = ["--split"] if request.param == "split" else []
    environment = {"TRUNKLINE_THREADS": "2", "TRUNKLINE_HEADS": "imagenet,camvid"}
    with start_server(tmp_path_factory.mktemp("large") / "log", *arguments, **environment) as server:
        yield server


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    """Each of another kind; none like another, so that nothing is kept of them."""
    wide = [encode(Image.new("RGB", (7000, 6990 + at), (at, 90, 7)), "PNG") for at in range(2)]
    clear = [encode(Image.new("LA", (7000, 6980 + at), (at, 128)), "PNG") for at in range(2)]
    gif = [encode(Image.new("P", (7000, 6970 + at)), "GIF") for at in range(2)]
    pages = [encode(Image.new("RGB", (6900, 7000 + at)), "TIFF", compression="tiff_adobe_deflate") for at in range(2)]
    avif = [encode(Image.new("RGB", (7000, 6960 + at)), "AVIF", quality=1, speed=10) for at in range(2)]
    return [*wide, *clear, *gif, *pages, *avif]


class Memory:
    """The most that each process of a server has, above what it had at first, MiB."""

    def __init__(self, server: Server) -> None:
        whole = psutil.Process(server.process.pid)
        self._before = {each: each.memory_info().rss for each in [whole, *whole.children(recursive=True)]}
        self.most: dict[str, float] = {}

    def look(self) -> None:
        for process, before in self._before.items():
            name = f"{process.pid} {' '.join(process.cmdline()[-6:])}"
            self.most[name] = max(self.most.get(name, 0.0), (process.memory_info().rss - before) / 2**20)


@contextmanager
def watched(server: Server) -> Iterator[Memory]:
    memory, over = Memory(server), threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            memory.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()
        memory.look()


class Beside:
    """A caller with a small picture, who goes on until the others are done."""

    def __init__(self, server: Server, picture: bytes) -> None:
        self.took_s: list[float] = []
        self._client, self._picture = Client(server.address), picture
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._call)

    def _call(self) -> None:
        while not self._over.is_set():
            started = time.perf_counter()
            self._client.classify(self._picture)
            self._client.segment(self._picture, "camvid")
            self.took_s.append(time.perf_counter() - started)

    def __enter__(self) -> "Beside":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()


def asked(client: Client, data: bytes) -> str:
    """What became of a picture of which all is wanted that a segmentation can give."""
    try:
        answer = client.segment(data, "camvid", masks="both", confidence_map=True, timeout_s=_PATIENCE_S)
    except ServiceError as error:
        return error.reason
    label_map = Image.open(io.BytesIO(answer.result.label_map_png))
    return "good" if label_map.size == Image.open(io.BytesIO(data)).size else "another size"


def test_many_at_once_keep_memory_bounded_and_small_ones_go_past_them(server, pictures, photos):
    small = photos[0].read_bytes()

    def ask(data: bytes) -> str:
        with Client(server.address) as client:
            return asked(client, data)

    with Client(server.address) as client:
        for _ in range(5):
            client.classify(small)
            client.segment(small, "camvid")
    with watched(server) as memory, Beside(server, small) as beside, ThreadPoolExecutor(AT_ONCE) as callers:
        began_at = time.perf_counter()
        found = list(callers.map(ask, pictures))
        whole_s = time.perf_counter() - began_at
    slowest = sorted(beside.took_s)[-1 - len(beside.took_s) // 100]
    print(f"{found}\nsmall: {len(beside.took_s)} calls, p99 {slowest:.2f} s; memory MiB {memory.most}")
    assert found.count("good") >= AT_ONCE // 2
    assert set(found) <= {"good", "QUEUE_FULL", "MEMORY"}
    assert max(memory.most.values()) <= ROOM_MIB
    assert len(beside.took_s) > 20
    assert slowest < max(5, whole_s / 3)  # 1 s on a machine that is not busy


@pytest.mark.parametrize("form", ["WEBP", "AVIF", "GIF", "PNG", "TIFF"])
def test_one_of_any_format_is_answered_or_refused_within_the_memory(server, form):
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 1, "speed": 10}}.get(form, {})
    if form == "TIFF":
        options = {"compression": "tiff_lzw", "strip_size": 7000 * 7000 * 3}  # one strip
    data = encode(Image.new("RGB", (7000, 7000), "navy"), form, **options)
    with watched(server) as memory, Client(server.address) as client:
        end = asked(client, data)
    print(form, end, memory.most)
    assert end in ("good", "IMAGE_TOO_LARGE")
    assert max(memory.most.values()) <= ROOM_MIB
