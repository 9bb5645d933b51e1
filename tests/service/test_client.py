"""Both clients against a real service: the same methods give the same answers and the same errors."""

import asyncio
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceServicer, add_VisionServiceServicer_to_server
from trunkline.client import AsyncClient, Client, HeadAsk, ServiceError, UnreachableError
from trunkline.core.results import Classification
from trunkline.testing import serve

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(models) -> AsyncIterator[str]:
    async with serve(models=models) as host:
        yield host.address


@pytest.fixture
def coffee(samples):
    return samples / "coffee.jpg"


@pytest.fixture(params=["sync", "aio"])
def call(request):
    """call(address, method, *arguments) with a client of its own."""

    async def with_aio(address, method, *arguments, **options):
        async with AsyncClient(address) as client:
            return await getattr(client, method)(*arguments, **options)

    async def with_sync(address, method, *arguments, **options):
        def run():
            with Client(address) as client:
                return getattr(client, method)(*arguments, **options)

        return await asyncio.to_thread(run)

    return with_aio if request.param == "aio" else with_sync


async def test_every_kind_of_picture_gives_the_same_answer(call, address, coffee):
    with Image.open(coffee) as opened:
        picture = opened.convert("RGB")
    kinds = [coffee, str(coffee), coffee.read_bytes(), picture, np.asarray(picture)]
    answers = [await call(address, "classify", kind) for kind in kinds]
    assert answers[0].result.labels[0].label == "espresso"
    assert {answer.result for answer in answers} == {answers[0].result}
    assert {answer.image_size for answer in answers} == {(600, 400)}


async def test_an_answer_names_head_version_and_times(call, address, coffee):
    answer = await call(address, "classify", coffee, head="imagenet", top_k=3)
    assert (answer.head, answer.version, len(answer.result.labels)) == ("imagenet", "2", 3)
    assert answer.timings.total_ms >= answer.timings.backbone_ms > 0


async def test_a_turned_photograph_is_seen_upright(call, address, coffee):
    with Image.open(coffee) as opened:
        turned = opened.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    answer = await call(address, "classify", turned)
    assert answer.image_size == (600, 400)
    assert answer.result.labels[0].label == "espresso"


async def test_a_gray_array_is_classified(call, address, samples):
    with Image.open(samples / "camera.jpg") as opened:
        gray = np.asarray(opened.convert("L"))
    assert (await call(address, "classify", gray)).result.labels[0].label == "tripod"


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ((b"no picture",), "INVALID_ARGUMENT", "INVALID_IMAGE"),
        ((b"",), "INVALID_ARGUMENT", "INVALID_IMAGE"),
        ((b"x", "unknown"), "NOT_FOUND", "NOT_FOUND"),
        ((b"x", None, 5000), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    ],
)
async def test_an_error_mirrors_that_of_the_service(call, address, coffee, arguments, code, reason):
    image = coffee.read_bytes() if arguments[0] == b"x" else arguments[0]
    with pytest.raises(ServiceError) as caught:
        await call(address, "classify", image, *arguments[1:])
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert len(caught.value.message.splitlines()) == 1


async def test_a_missing_file_costs_no_call(call, address, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no picture"):
        await call(address, "classify", tmp_path / "gone.jpg")


async def test_heads_answer_or_fail_one_by_one(call, address, coffee):
    answer = await call(address, "analyze", coffee, ["imagenet", "unknown"])
    good, bad = answer.outcomes
    assert isinstance(good.value(), Classification)
    assert (bad.result, bad.error.code) == (None, "NOT_FOUND")
    assert answer.backbone_passes == 1
    assert answer["unknown"] is bad


async def test_parameters_reach_the_head(call, address, coffee):
    answer = await call(address, "analyze", coffee, [("imagenet", {"top_k": 2})])
    assert len(answer["imagenet"].value().labels) == 2


async def test_a_required_head_fails_the_call(call, address, coffee):
    with pytest.raises(ServiceError) as caught:
        await call(address, "analyze", coffee, ["imagenet", HeadAsk("unknown", required=True)])
    assert caught.value.code == "NOT_FOUND"


async def test_heads_are_listed_by_task_and_described(call, address):
    heads = await call(address, "list_heads", task="classification")
    assert [each.name for each in heads] == sorted(each.name for each in heads)
    assert {each.task for each in heads} == {"classification"}
    (head,) = (each for each in heads if each.name == "imagenet")
    assert (head.name, head.ready, head.features, len(head.labels)) == ("imagenet", True, ("pooled",), 1000)
    assert await call(address, "list_heads", task="juggling") == []
    assert await call(address, "get_head", "imagenet") == head
    with pytest.raises(ServiceError) as caught:
        await call(address, "get_head", "unknown")
    assert caught.value.code == "NOT_FOUND"


async def test_a_ready_service_is_not_waited_for(call, address):
    await asyncio.wait_for(call(address, "wait_ready", timeout_s=5), timeout=3)


async def test_a_call_out_of_time_ends_with_its_own_code(call, address, coffee):
    with pytest.raises(ServiceError) as caught:
        await call(address, "classify", coffee, timeout_s=0.002)
    assert caught.value.code == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("method", [("classify", b"x"), ("list_heads",), ("wait_ready", 0.3)])
async def test_where_nothing_answers_the_error_says_where_and_what_to_do(call, method):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        target = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(UnreachableError) as caught:
            await call(target, *method)
    assert caught.value.message == f"no service answers at {target}; start one with: trunkline serve"


async def test_one_client_serves_many_threads(address, photos):
    def run():
        with Client(address) as client, ThreadPoolExecutor(4) as threads:
            return [client.classify(photo).result for photo in photos], list(
                threads.map(lambda photo: client.classify(photo).result, photos)
            )

    alone, together = await asyncio.to_thread(run)
    assert together == alone


async def test_one_aio_client_asks_side_by_side(address, photos):
    async with AsyncClient(address) as client:
        alone = [(await client.classify(photo)).result for photo in photos]
        together = await asyncio.gather(*(client.classify(photo) for photo in photos))
    assert [answer.result for answer in together] == alone


class OneHeadAPage(VisionServiceServicer):
    """A service whose pages hold one head each."""

    names = ("a", "b", "c")

    async def ListHeads(self, request, context):  # noqa: N802  named by the contract
        place = self.names.index(request.page_token) + 1 if request.page_token else 0
        more = place + 1 < len(self.names)
        return pb.ListHeadsResponse(
            heads=[pb.Head(name=self.names[place])], next_page_token=self.names[place] if more else ""
        )

    Classify = Regress = Analyze = GetHead = None


async def test_every_page_of_heads_is_read(call):
    server = grpc.aio.server()
    add_VisionServiceServicer_to_server(OneHeadAPage(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        heads = await call(f"127.0.0.1:{port}", "list_heads")
    finally:
        await server.stop(None)
    assert [head.name for head in heads] == ["a", "b", "c"]


async def test_waiting_for_a_server_without_health_ends_at_once(call):
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with pytest.raises(ServiceError, match="not a Trunkline gateway"):
            await asyncio.wait_for(call(f"127.0.0.1:{port}", "wait_ready", timeout_s=30), timeout=10)
    finally:
        await server.stop(None)
