"""AnalyzeStream through real servers in both forms: order, bounds, faults, cancellation, drain, restart."""

import asyncio
import contextlib
import threading
from collections import Counter

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from grpc_status import rpc_status

from tests.conftest import free_port
from tests.service.slow_head import LOG, slow_heads
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import AsyncClient, Client, HeadAsk, ServiceError, UnreachableError
from trunkline.serving.status import error_info
from trunkline.testing import serve, serve_split

IN_FLIGHT = 3
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[serve, serve_split])
async def form(request, models, tmp_path_factory):
    """A function that starts servers of this form."""
    settings = slow_heads(models, tmp_path_factory.mktemp("slow"), "slow", "slow2")
    return lambda **more: request.param(**settings, threads=2, stream_in_flight=IN_FLIGHT, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(form):
    async with form() as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        yield host.address


@pytest_asyncio.fixture(loop_scope="module")
async def client(address):
    LOG.clear()
    async with AsyncClient(address) as client:
        yield client


@pytest.fixture(params=["sync", "aio"])
def ask(request):
    """All answers of analyze_stream with a client of its own, and what was told before."""

    async def with_aio(address, images, heads, **options):
        told = []
        async with AsyncClient(address) as client:
            stream = client.analyze_stream(images, heads, on_outcome=lambda *each: told.append(each), **options)
            return [answer async for answer in stream], told

    async def with_sync(address, images, heads, **options):
        def run():
            told = []
            with Client(address) as client:
                stream = client.analyze_stream(images, heads, on_outcome=lambda *each: told.append(each), **options)
                return list(stream), told

        return await asyncio.to_thread(run)

    return with_aio if request.param == "aio" else with_sync


def asked(number, image: bytes, *heads, **more) -> pb.AnalyzeStreamRequest:
    asks = [head if isinstance(head, pb.HeadRequest) else pb.HeadRequest(head=head) for head in heads]
    return pb.AnalyzeStreamRequest(id=str(number), image=image_pb2.Image(data=image), heads=asks, **more)


def slow(seconds: float) -> pb.HeadRequest:
    request = pb.HeadRequest(head="slow")
    request.params["seconds"] = seconds
    return request


@contextlib.asynccontextmanager
async def raw_stream(address: str):
    async with grpc.aio.insecure_channel(address) as channel:
        yield VisionServiceStub(channel).AnalyzeStream()


async def read_into(seen: list, stream) -> None:
    async for message in stream:
        seen.append((message.id, message.WhichOneof("event")))


# Answers ---------------------------------------------------------------------------------------------------


async def test_a_stream_gives_the_answers_of_analyze(ask, address, client, photos):
    heads = [HeadAsk("imagenet", {"top_k": 3}), "slow", "nope"]
    alone = [await client.analyze(photo, heads) for photo in photos]
    answers, told = await ask(address, [(photo.name, photo) for photo in photos], heads)
    by_name = {answer.key: answer.value() for answer in answers}
    for photo, expected in zip(photos, alone, strict=True):
        found = by_name[photo.name]
        assert [outcome.result for outcome in found.outcomes] == [outcome.result for outcome in expected.outcomes]
        assert [outcome.version for outcome in found.outcomes] == ["2", "1", ""]
        assert found["nope"].error.code == "NOT_FOUND"
        assert (found.image_size, found.backbone_passes) == (expected.image_size, 1)
        assert found.passes[0].preprocess_fingerprint == expected.passes[0].preprocess_fingerprint
        assert found.timings.total_ms > 0
    assert Counter((key, outcome.head) for key, outcome in told) == Counter(
        (photo.name, head) for photo in photos for head in ("imagenet", "slow", "nope")
    )


async def test_every_head_answers_as_soon_as_it_is_ready_and_the_last_message_closes_the_picture(client, photos):
    image = photos[0].read_bytes()
    async with raw_stream(client.target) as stream:
        await stream.write(asked("a", image, slow(0.6), "imagenet"))
        await stream.write(asked("b", image, "imagenet"))
        await stream.done_writing()
        seen = [(message.id, message.WhichOneof("event"), message.outcome.head) async for message in stream]
    of_a = [each[1:] for each in seen if each[0] == "a"]
    assert of_a == [("outcome", "imagenet"), ("outcome", "slow"), ("done", "")]
    assert seen.index(("b", "done", "")) < seen.index(("a", "done", ""))  # pictures may overtake each other
    assert await stream.code() is grpc.StatusCode.OK


async def test_no_picture_no_answer(ask, address):
    assert await ask(address, [], ["imagenet"]) == ([], [])


async def test_pictures_come_from_an_async_iterator_too(client, photos):
    async def camera():
        for photo in photos:
            await asyncio.sleep(0.01)
            yield photo

    answers = [answer async for answer in client.analyze_stream(camera(), ["imagenet"])]
    assert sorted(answer.key for answer in answers) == list(range(len(photos)))
    assert all(answer.value()["imagenet"].result for answer in answers)


# Faults ----------------------------------------------------------------------------------------------------


async def test_a_bad_picture_costs_its_own_answer(ask, address, photos, tmp_path):
    images = [photos[0], b"no picture", tmp_path / "gone.jpg", photos[1], b"", photos[2]]
    answers, _ = await ask(address, images, ["imagenet"])
    reasons = {answer.key: answer.error.reason if answer.error else "" for answer in answers}
    assert reasons == {0: "", 1: "INVALID_IMAGE", 2: "UNREADABLE_FILE", 3: "", 4: "INVALID_IMAGE", 5: ""}


async def test_what_would_fail_the_call_fails_the_picture_alone(client, photos):
    image = photos[0].read_bytes()
    wrong = {
        "no head": asked("no head", image),
        "twice": asked("twice", image, "imagenet", "imagenet"),
        "required": asked("required", image, pb.HeadRequest(head="nope", required=True)),
        "budget": asked("budget", image, "imagenet", budget=Duration(seconds=-1)),
        "late": asked("late", image, pb.HeadRequest(head="imagenet", required=True), budget=Duration(nanos=1)),
    }
    async with raw_stream(client.target) as stream:
        for request in wrong.values():
            await stream.write(request)
        await stream.write(asked("good", image, "imagenet"))
        await stream.done_writing()
        last = {message.id: message async for message in stream}
    assert last["good"].WhichOneof("event") == "done"
    assert {name: last[name].error.reason for name in wrong} == {
        "no head": "INVALID_REQUEST",
        "twice": "INVALID_REQUEST",
        "required": "NOT_FOUND",
        "budget": "INVALID_REQUEST",
        "late": "DEADLINE_EXCEEDED",
    }


async def test_ids_that_do_not_tell_pictures_apart_are_refused(client, photos):
    image, heads = photos[0].read_bytes(), [pb.HeadRequest(head="imagenet")]
    ids = ["a", "", "b", "a", "c"]
    ends = []
    async with raw_stream(client.target) as stream:
        for each in ids:
            await stream.write(pb.AnalyzeStreamRequest(id=each, image=image_pb2.Image(data=image), heads=heads))
        await stream.done_writing()
        async for message in stream:
            if message.WhichOneof("event") != "outcome":
                ends.append((message.id, message.error.code, message.error.metadata.get("picture")))
    invalid = grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert Counter(ends) == Counter(
        [("a", 0, None), ("", invalid, "1"), ("b", 0, None), ("a", invalid, "3"), ("c", 0, None)]
    )


async def test_a_head_without_a_name_is_said_by_its_place(client, photos):
    with pytest.raises(ServiceError, match=r"heads\[1\] names no head: set its field head") as caught:
        await client.analyze(photos[0], ["imagenet", ""])
    assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def test_no_text_of_a_bug_is_in_a_stream(client, photos, monkeypatch):
    from trunkline.gateway.picture import PictureRun

    def bug(self):
        raise RuntimeError("secret")

    monkeypatch.setattr(PictureRun, "made", bug)
    (answer,) = [answer async for answer in client.analyze_stream([photos[0]], ["imagenet"])]
    assert (answer.error.code, answer.error.reason, answer.error.message) == (
        "INTERNAL",
        "INTERNAL",
        "internal error",
    )


async def test_an_error_of_the_callers_own_iterator_reaches_the_caller(ask, address, photos):
    def images():
        yield photos[0]
        raise KeyError("of the caller")

    with pytest.raises(KeyError, match="of the caller"):
        await ask(address, images(), ["imagenet"])


async def test_where_nothing_answers_the_stream_says_so_at_once(ask, photos):
    with pytest.raises(UnreachableError):
        await asyncio.wait_for(ask("127.0.0.1:9", photos, ["imagenet"]), 15)


# Bounds and cancellation -----------------------------------------------------------------------------------


async def test_a_full_stream_is_not_read_so_that_the_client_is_held_back(client, photos):
    """Each picture takes a second of a thread, so of 160 with a megabyte each only some leave the client.

    How many depends on the windows of HTTP/2, which grow where answers to its pings are late.
    """
    image = photos[0].read_bytes() + bytes(1_000_000)  # what follows the end of a JPEG is not looked at
    written = 0
    async with raw_stream(client.target) as stream:

        async def write() -> None:
            nonlocal written
            for number in range(160):
                await stream.write(asked(number, image, slow(1.0)))
                written += 1

        writer = asyncio.create_task(write())
        await asyncio.to_thread(LOG.wait_begun, 1)
        await asyncio.sleep(1.5)
        held_back = written
        writer.cancel()
        stream.cancel()
    assert 1 <= held_back < 100


async def test_no_more_pictures_are_in_work_than_the_setting_says(client, photos, monkeypatch):
    from trunkline.gateway.analyzer import Analyzer

    analyze, now, most = Analyzer.analyze, 0, 0

    async def counted(self, *arguments):
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            return await analyze(self, *arguments)
        finally:
            now -= 1

    monkeypatch.setattr(Analyzer, "analyze", counted)
    answers = [a async for a in client.analyze_stream((photos * 6)[:30], [("slow", {"seconds": 0.02})], in_flight=30)]
    assert len(answers) == 30
    assert most == IN_FLIGHT


async def test_who_does_not_take_the_answers_is_asked_for_no_more_pictures(client, photos):
    taken = []

    def images():
        for number in range(100):
            taken.append(number)
            yield photos[0]

    stream = client.analyze_stream(images(), ["imagenet"], in_flight=4)
    await anext(stream)
    await asyncio.sleep(1)
    await stream.aclose()
    assert len(taken) <= 5


async def test_a_cancelled_stream_cancels_all_of_its_work(client, photos):
    image = photos[0].read_bytes()
    async with raw_stream(client.target) as stream:
        slow2 = pb.HeadRequest(head="slow2")
        slow2.params["seconds"] = 0.3
        for number in range(3):
            await stream.write(asked(number, image, slow(0.3), slow2))
        await asyncio.to_thread(LOG.wait_begun, 2)
        stream.cancel()
    assert await asyncio.to_thread(LOG.wait_quiet) <= 4  # of 6, on two threads
    done = await client.analyze(photos[0], ["imagenet"])
    assert done["imagenet"].result


async def test_a_sync_stream_that_is_left_ends_its_threads(address, photos):
    def leave() -> int:
        with Client(address) as client:
            for _ in client.analyze_stream((photos[0] for _ in range(1000)), ["imagenet"], in_flight=4):
                break
        ends_at = 100
        while ends_at and any(thread.name == "analyze-stream" for thread in threading.enumerate()):
            threading.Event().wait(0.05)
            ends_at -= 1
        return ends_at

    assert await asyncio.to_thread(leave)


# Drain and restart -----------------------------------------------------------------------------------------


async def test_a_stopping_service_answers_what_it_has_read_and_ends_the_stream(form, photos):
    image = photos[0].read_bytes()
    LOG.clear()
    async with contextlib.AsyncExitStack() as stack:
        async with form(drain_pause_s=2.0) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=30)
            stream = await stack.enter_async_context(raw_stream(host.address))
            for number in range(2):
                await stream.write(asked(number, image, slow(0.7)))
            await asyncio.to_thread(LOG.wait_begun, 2)
            drain = asyncio.create_task(host.drain())
            await asyncio.sleep(0.1)
            with pytest.raises(ServiceError) as refused:
                [answer async for answer in client.analyze_stream([photos[0]], ["imagenet"])]
            await drain
        seen = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_into(seen, stream)
    assert Counter(seen) == Counter([("0", "outcome"), ("0", "done"), ("1", "outcome"), ("1", "done")])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    info = error_info(rpc_status.from_call(caught.value))
    assert (info.reason, info.domain) == ("UNAVAILABLE", "trunkline")
    assert (refused.value.code, refused.value.reason) == ("UNAVAILABLE", "UNAVAILABLE")


async def test_a_stream_goes_on_over_a_restart_and_no_picture_is_lost_or_answered_twice(
    ask, models, tmp_path, photos
):
    settings = slow_heads(models, tmp_path, "slow") | {"address": f"127.0.0.1:{free_port()}"}
    own = settings["address"]
    first_half = asyncio.Event()
    loop = asyncio.get_running_loop()

    def images():
        for number in range(40):
            if number == 20:
                loop.call_soon_threadsafe(first_half.set)
            yield number, photos[number % len(photos)]

    async with serve(**settings), AsyncClient(own) as client:
        await client.wait_ready(timeout_s=30)
        stream = asyncio.create_task(ask(own, images(), ["imagenet", ("slow", {"seconds": 0.02})]))
        await asyncio.wait_for(first_half.wait(), 60)
    async with serve(**settings):
        answers, told = await asyncio.wait_for(stream, 60)
    assert sorted(answer.key for answer in answers) == list(range(40))
    assert all(answer.value()["imagenet"].result for answer in answers)
    assert max(Counter((key, outcome.head) for key, outcome in told).values()) == 1
