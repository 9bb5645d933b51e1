"""Detection heads with real ONNX files on the real backbone, through the gateway, in both forms."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from tests.conftest import ROOT
from tests.service.bundles import linked_repository
from tests.service.detection_bundles import add_parts_head, add_spots_head
from tests.service.test_rest import JPEG, ask, reason_of
from tests.service.triton import Triton, triton_process
from trunkline.client import AsyncClient, Client, ServiceError
from trunkline.core.masks import decode_mask
from trunkline.core.results import Classification, Detections
from trunkline.serving.host import Host
from trunkline.testing import serve, serve_split

pytestmark = pytest.mark.asyncio(loop_scope="module")
HTTP = {"http_address": "127.0.0.1:0"}
GRAY, WHITE, BLACK = 127, 255, 0
PARTS = ("eye", "ear", "nose")


@pytest.fixture(scope="module")
def repository(models, tmp_path_factory):
    """The shipped imagenet; `spots`, whose truth can be told, for each way to resize; `parts`, on the backbone."""
    found = linked_repository(models, tmp_path_factory.mktemp("detection"))
    for resize in ("pad", "squash", "crop"):
        add_spots_head(found, f"spots-{resize}", resize)
    add_parts_head(found, "parts", PARTS, largest_nms_iou=0.9, score_threshold=0.6)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(repository) -> AsyncIterator[Host]:
    async with serve(models=repository, **HTTP) as host:
        yield host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def split(repository) -> AsyncIterator[Host]:
    async with serve_split(models=repository, **HTTP) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        yield host


@pytest.fixture(params=["one", "split"])
def host(request) -> Host:
    return request.getfixturevalue(request.param)


@pytest_asyncio.fixture(loop_scope="module")
async def client(host) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(host.address) as client:
        yield client


def picture(width: int, height: int, *spots: tuple[int, tuple[int, int, int, int]], orientation: int = 1) -> bytes:
    """A gray picture with rectangles (value, (left, top, right, bottom)), without loss."""
    drawn = Image.new("L", (width, height), GRAY)
    for value, box in spots:
        drawn.paste(value, box)
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    drawn.save(file, "PNG", exif=exif)
    return file.getvalue()


def corners(found: Detections) -> list[tuple[str, float, float, float, float]]:
    return [(each.label.label, *vars(each.box).values()) for each in found.objects]


async def refused(call) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value


# Where objects are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resize", "size", "spots", "wanted"),
    [
        # The input is 224x224, its cells 32x32. 448x672 squashed: a cell is 64x96 in the picture.
        ("squash", (448, 672), [(WHITE, (128, 288, 192, 384))], [("bright", 128, 288, 192, 384)]),
        # 448x192 padded: half size, from row 64 of the input on; the padding is gray.
        ("pad", (448, 192), [(BLACK, (64, 64, 128, 128))], [("dark", 64, 64, 128, 128)]),
        ("pad", (192, 448), [(WHITE, (0, 384, 64, 448))], [("bright", 0, 384, 64, 448)]),
        # 448x224 cropped: the middle 224 columns, as they are; what is outside is not seen.
        ("crop", (448, 224), [(WHITE, (112, 0, 144, 32)), (WHITE, (0, 0, 64, 64))], [("bright", 112, 0, 144, 32)]),
        ("pad", (3584, 1536), [(WHITE, (512, 512, 1024, 1024))], [("bright", 512, 512, 1024, 1024)]),
    ],
)
async def test_an_object_is_found_where_it_is_in_the_callers_picture(client, resize, size, spots, wanted):
    answer = await client.detect(picture(*size, *spots), f"spots-{resize}", score_threshold=0.9)
    assert (answer.head, answer.version, answer.image_size) == (f"spots-{resize}", "1", size)
    assert [each[0] for each in corners(answer.result)] == [each[0] for each in wanted]
    for found, truth in zip(corners(answer.result), wanted, strict=True):
        assert found[1:] == pytest.approx(truth[1:], abs=1e-3)
    assert all(each.mask is None for each in answer.result.objects)


async def test_boxes_are_in_the_upright_picture(client):
    """Stored on its side: what is stored at the left is at the top."""
    stored = picture(448, 448, (WHITE, (0, 64, 64, 128)), orientation=6)
    (found,) = corners((await client.detect(stored, "spots-pad", score_threshold=0.9)).result)
    assert found == ("bright", pytest.approx(320), pytest.approx(0, abs=1e-3), pytest.approx(384), pytest.approx(64))


async def test_a_picture_with_nothing_gives_an_empty_list_and_a_single_pixel_is_a_picture(client):
    assert (await client.detect(picture(300, 200), "spots-pad")).result == Detections(())
    done = await client.analyze(picture(300, 200), ["spots-pad"])
    assert done["spots-pad"].value() == Detections(())
    white = (await client.detect(picture(1, 1, (WHITE, (0, 0, 1, 1))), "spots-squash")).result
    assert len(white.objects) == 49
    assert all(0 <= each.box.x_min < each.box.x_max <= 1 for each in white.objects)


# The same answers ---------------------------------------------------------------------------------------------


async def test_split_and_all_in_one_give_the_same_objects_bit_for_bit(one, split, photos):
    seen = set()
    async with AsyncClient(one.address) as here, AsyncClient(split.address) as there:
        for photo in photos:
            answers = [(await client.detect(photo, "parts", score_threshold=0.55)).result for client in (here, there)]
            assert answers[0] == answers[1]
            assert answers[0].objects
            seen.add(answers[0])
    assert len(seen) == len(photos), "the objects must follow the picture"


SIZES = [(1, 1), (1, 700), (900, 2), (33, 31), (224, 224), (2000, 300), (4000, 3000)]


async def test_many_pictures_of_awkward_sizes_at_once_get_what_each_gets_alone(client, photos):
    with Image.open(photos[0]) as photo:
        pictures = [encoded(photo.resize(size)) for size in SIZES]
    asks = [("parts", {"score_threshold": 0.5, "max_detections": 20}), "spots-crop"]
    together = {answer.key: answer.value() async for answer in client.analyze_stream(pictures, asks, timeout_s=120)}
    for place, each in enumerate(pictures):
        alone = await client.detect(each, "parts", score_threshold=0.5, max_detections=20)
        assert together[place]["parts"].value() == alone.result
        assert alone.image_size == SIZES[place]
        for found in alone.result.objects:
            assert 0 <= found.box.x_min < found.box.x_max <= SIZES[place][0]
            assert 0 <= found.box.y_min < found.box.y_max <= SIZES[place][1]
            mask = decode_mask(found.mask)
            assert mask.shape == SIZES[place][::-1]
            left, top = int(found.box.x_min), int(found.box.y_min)
            inside = mask[top : int(np.ceil(found.box.y_max)), left : int(np.ceil(found.box.x_max))]
            assert inside.sum() == mask.sum()


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


async def test_both_clients_and_analyze_give_the_same_answer(client, photos):
    def ask_plainly():
        with Client(client.target) as plain:
            return plain.detect(str(photos[0]), head="parts", classes=["ear"], timeout_s=30)

    answer = await client.detect(photos[0].read_bytes(), "parts", classes=["ear"])
    done = await client.analyze(photos[0], [("parts", {"classes": ["ear"]}), "imagenet"])
    assert (await asyncio.to_thread(ask_plainly)).result == answer.result
    assert done["parts"].value() == answer.result
    assert isinstance(done["imagenet"].value(), Classification)
    assert done.backbone_passes == 1
    assert {each.label.label for each in answer.result.objects} == {"ear"}


# Parameters ---------------------------------------------------------------------------------------------------


async def test_parameters_say_what_is_answered(client, photos):
    async def ask_for(**options):
        return (await client.detect(photos[0], "parts", **options)).result.objects

    usual = await ask_for()
    assert min(each.label.score for each in usual) >= 0.6
    assert all(each.mask is not None for each in usual)
    every = await ask_for(score_threshold=0.0, nms_iou=0.9, max_detections=1000)
    assert len(every) > len(await ask_for(score_threshold=0.0, nms_iou=0.1, max_detections=1000))
    assert await ask_for(score_threshold=0.0, nms_iou=0.9, max_detections=3) == every[:3]
    assert await ask_for(score_threshold=1.0) == ()
    assert [each.mask for each in await ask_for(masks=False)] == [None] * len(usual)
    named = await ask_for(classes=["nose", "eye"], score_threshold=0.0, nms_iou=0.9, max_detections=1000)
    assert named == tuple(each for each in every if each.label.label != "ear")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"score_threshold": -0.5}, "'score_threshold'"),
        ({"score_threshold": float("nan")}, ""),
        ({"nms_iou": 1.5}, "'nms_iou'"),
        ({"nms_iou": 0.95}, "'nms_iou': at most 0.9 for head 'parts'"),
        ({"max_detections": 0}, "'max_detections'"),
        ({"max_detections": 1001}, "'max_detections'"),
        ({"classes": ["tail"]}, "no class 'tail'; known: eye, ear, nose"),
    ],
)
async def test_bad_parameters_are_refused_by_their_name(client, photos, options, word):
    error = await refused(client.detect(photos[0], "parts", **options))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert word in error.message


async def test_masks_cannot_be_asked_of_a_head_without(client, photos):
    error = await refused(client.detect(photos[0], "spots-pad", masks=True))
    assert "boxes alone" in error.message


async def test_wrong_use_of_the_client_is_a_type_error(client, photos):
    with pytest.raises(TypeError, match=r"write \['ear'\]"):
        await client.detect(photos[0], "parts", classes="ear")
    with pytest.raises(TypeError, match="'top_k'"):
        await client.detect(photos[0], "parts", top_k=3)


@pytest.mark.parametrize(
    ("call", "head", "advice"),
    [("detect", "imagenet", "Classify"), ("classify", "parts", "Detect"), ("segment", "parts", "Detect")],
)
async def test_a_head_of_another_task_names_the_call_to_use(client, photos, call, head, advice):
    error = await refused(getattr(client, call)(photos[0], head))
    assert error.reason == "WRONG_TASK"
    assert error.message.endswith(f": use {advice} or Analyze")


# Other ways in ------------------------------------------------------------------------------------------------


async def test_http_gives_the_answer_of_the_native_call(host, client, photos):
    native = (await client.detect(photos[0], "parts", classes=["eye", "ear"], max_detections=4)).result.objects
    query = "head=parts&classes=eye,ear&max_detections=4&score_threshold=0.6&masks=true"
    code, _, answer = await ask(host, "POST", f"/v1/images:detect?{query}", photos[0].read_bytes(), JPEG)
    assert code == 200
    objects = answer["outcome"]["detections"]["objects"]
    assert [each["label"]["label"] for each in objects] == [each.label.label for each in native]
    assert [list(each["box"].values()) for each in objects] == [
        pytest.approx(list(vars(each.box).values()), rel=1e-6) for each in native
    ]
    assert [each["mask"]["counts"] for each in objects] == [each.mask.counts for each in native]
    code, _, status = await ask(host, "POST", "/v1/images:detect?head=parts&nms_iou=7", photos[0].read_bytes(), JPEG)
    assert (code, reason_of(status)) == (400, "INVALID_REQUEST")


@pytest.fixture(scope="module")
def triton() -> Iterator[Triton]:
    with triton_process() as process:
        yield process


@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_a_tritonclient_gets_boxes_scores_and_labels(triton, host, client, photos, kind):
    """In a batch the rows behind those of a picture have the score 0; without any object there are none."""
    address = host.address if kind == "grpc" else host.http_address
    files = [photo.read_bytes() for photo in photos[:3]]
    batch = np.array([[file] for file in files], object)
    names = ["boxes", "scores", "labels"]
    found = await triton.run("infer", kind, address, "parts", {"image": batch}, names)
    counts = []
    for place, file in enumerate(files):
        wanted = (await client.detect(file, "parts")).result.objects
        count = len(wanted)
        counts.append(count)
        assert found["boxes"][place, :count].tolist() == [list(vars(each.box).values()) for each in wanted]
        assert found["scores"][place, :count].tolist() == [each.label.score for each in wanted]
        assert found["labels"][place, :count].tolist() == [each.label.label.encode() for each in wanted]
        assert not found["scores"][place, count:].any()
        assert set(found["labels"][place, count:].tolist()) <= {b""}
    assert len(set(counts)) > 1
    assert found["boxes"].shape == (3, max(counts), 4)
    nothing = np.array([[picture(300, 200)]], object)
    empty = await triton.run("infer", kind, address, "spots-pad", {"image": nothing}, [*names, "result"])
    assert [empty[name].shape for name in names] == [(1, 0, 4), (1, 0), (1, 0)]
    assert json.loads(empty["result"].item())["detections"] == {"objects": []}
    options = {"parameters": {"classes": "nose", "max_detections": 1}}
    one_nose = await triton.run("infer", kind, address, "parts", {"image": batch[:1]}, names, **options)
    assert one_nose["labels"].tolist() == [[b"nose"]]


async def command(*arguments) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trunkline.cli.main",
        *map(str, arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_command_prints_json_and_draws_boxes_where_they_are(one, tmp_path):
    photo, drawn = tmp_path / "photo.png", tmp_path / "drawn.png"
    photo.write_bytes(picture(448, 192, (BLACK, (64, 64, 128, 128)), (WHITE, (320, 64, 384, 128))))
    options = ["--score", "0.9", "--class", "dark", "--max", "5", "--nms-iou", "0.4"]
    code, out, err = await command(
        "detect", photo, "--head", "spots-pad", *options, "--json", "--draw", drawn, "--target", one.address
    )
    assert (code, err) == (0, "")
    (document,) = json.loads(out)
    assert list(document) == ["image", "head", "version", "width", "height", "objects", "timings"]
    (found,) = document["objects"]
    assert list(found) == ["box", "label", "mask"]
    assert list(found["box"].values()) == pytest.approx([64, 64, 128, 128])
    assert found["label"]["label"] == "dark"
    with Image.open(drawn) as card:
        pixels = np.asarray(card.convert("RGB"))[: round(192 * 960 / 448)]
    coloured = np.argwhere(np.ptp(pixels.astype(int), axis=2) > 60)  # the photograph is gray
    (top, left), (bottom, right) = coloured.min(axis=0), coloured.max(axis=0)
    scale = 960 / 448
    assert (left, bottom) == (pytest.approx(64 * scale, abs=2), pytest.approx(128 * scale, abs=2))
    assert right == pytest.approx(128 * scale, abs=2)
    assert 64 * scale - 40 < top <= 64 * scale + 1  # its label is above the box


async def test_the_command_shows_a_table_and_says_where_nothing_is(one, photos, tmp_path):
    empty = tmp_path / "empty.png"
    empty.write_bytes(picture(30, 20))
    code, out, err = await command("detect", empty, "--head", "spots-pad", "--target", one.address)
    assert (code, err) == (0, "")
    assert "nothing found" in out
    code, out, err = await command("detect", photos[0], "--head", "parts", "--no-masks", "--target", one.address)
    assert code == 0
    assert "eye" in out
    code, out, err = await command("detect", photos[0], "--head", "parts", "--class", "tail", "--target", one.address)
    assert (code, out) == (1, "")
    assert "known: eye, ear, nose" in err
    assert len(err.splitlines()) == 1
    code, out, err = await command("detect", photos[0], "--score", "2", "--target", one.address)
    assert (code, out) == (2, "")


async def test_analyze_draws_objects_too(one, photos, tmp_path):
    plain, drawn = tmp_path / "plain.png", tmp_path / "drawn.png"
    for path, heads in ((plain, ["imagenet"]), (drawn, ["imagenet", "parts"])):
        asked = [part for head in heads for part in ("--head", head)]
        code, _, err = await command("analyze", photos[0], *asked, "--draw", path, "--target", one.address)
        assert (code, err) == (0, "")
    with Image.open(plain) as before, Image.open(drawn) as after:
        changed = np.asarray(before)[:300] != np.asarray(after)[:300]
        assert after.height > before.height  # with a legend
    assert changed.any(axis=2).mean() > 0.05
