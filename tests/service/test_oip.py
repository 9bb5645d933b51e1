"""The Open Inference Protocol with the unmodified tritonclient: gRPC and HTTP, all in one and split."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import pytest_asyncio

from tests.service.bundles import add_regression_head, linked_repository
from tests.service.triton import Triton, triton_process
from trunkline.client import AsyncClient
from trunkline.core.images import EncodedImage, ImageLimits
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.serving.host import Host
from trunkline.testing import serve, serve_split

pytestmark = pytest.mark.asyncio(loop_scope="module")
HTTP = {"http_address": "127.0.0.1:0"}
BACKBONE = "efficientnet-lite0"
VERSIONS = {"imagenet": "2"}  # of all others it is 1
TARGET = [{"name": "size", "unit": "mm", "kind": "number", "low": -10.0, "high": 10.0}]


@pytest.fixture(scope="module")
def repository(models, tmp_path_factory):
    """The shipped imagenet and digit-angle, and `size`, whose answers follow the picture."""
    found = linked_repository(models, tmp_path_factory.mktemp("oip"))
    (found / "heads/digit-angle").symlink_to((models / "heads/digit-angle").resolve())
    add_regression_head(found, "size", TARGET, np.random.default_rng(3).normal(0, 0.05, (1280, 1)), [0.5])
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


@pytest.fixture(scope="module")
def triton() -> Iterator[Triton]:
    with triton_process() as process:
        yield process


class Asker:
    """One transport to one server."""

    def __init__(self, triton: Triton, kind: str, host: Host) -> None:
        self.triton, self.kind = triton, kind
        self.address = host.address if kind == "grpc" else host.http_address

    async def call(self, name, *args, **kwargs):
        return await self.triton.run("call", self.kind, self.address, name, *args, **kwargs)

    async def infer(self, model, inputs, outputs=None, **options):
        return await self.triton.run("infer", self.kind, self.address, model, inputs, outputs, **options)


@pytest.fixture(params=["grpc", "http"])
def ask(request, triton, host) -> Asker:
    return Asker(triton, request.param, host)


def batch(paths) -> np.ndarray:
    """(N, 1) of dtype object."""
    return np.array([[path.read_bytes()] for path in paths], object)


async def test_the_server_is_live_and_ready_and_says_what_it_is(ask):
    assert await ask.call("is_server_live") is True
    assert await ask.call("is_server_ready") is True
    found = await ask.call("get_server_metadata")
    assert (found["name"], "statistics" in found["extensions"]) == ("trunkline", True)


async def test_models_are_ready_by_name_and_version(ask):
    asked = [("imagenet",), ("imagenet", "2"), (BACKBONE,), ("analyze",), ("imagenet", "9"), ("nothing",)]
    assert [await ask.call("is_model_ready", *each) for each in asked] == [True] * 4 + [False] * 2


async def test_metadata_and_configuration_say_the_same(ask):
    for name in ("imagenet", "digit-angle", "size", BACKBONE, "analyze"):
        metadata = await ask.call("get_model_metadata", name)
        config = await ask.call("get_model_config", name)
        config = config.get("config", config)
        assert metadata["versions"] == [VERSIONS.get(name, "1")]
        for tensors, described in (("inputs", "input"), ("outputs", "output")):
            shapes = {each["name"]: list(map(int, each["shape"])) for each in metadata[tensors]}
            dims = {each["name"]: [-1, *map(int, each["dims"])] for each in config[described]}
            assert shapes == dims
        assert metadata["inputs"][0] | {"shape": None} == {"name": "image", "datatype": "BYTES", "shape": None}


async def test_tensors_that_a_head_declares_are_in_its_metadata(triton, one):
    ask = Asker(triton, "http", one)
    found = {name: await ask.call("get_model_metadata", name) for name in ("imagenet", "digit-angle")}
    assert found["imagenet"]["inputs"][1:] == [
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, 224, 224, 3]},
        {"name": "pooled", "datatype": "FP32", "shape": [-1, 1280]},
    ]
    assert found["digit-angle"]["inputs"][1] == {"name": "pixels", "datatype": "UINT8", "shape": [-1, 32, 32, 1]}


async def test_a_batch_is_answered_in_order_as_the_native_call_answers(ask, host, photos):
    async with AsyncClient(host.address) as client:
        native = [(await client.classify(photo, top_k=3)).result.labels for photo in photos]
    found = await ask.infer("imagenet", {"image": batch(photos)}, request_id="42", parameters={"top_k": 3})
    assert (found["id"], found["model_version"]) == ("42", "2")
    assert found["scores"].dtype == np.float32
    assert found["scores"].tolist() == [[np.float32(label.score) for label in labels] for labels in native]
    assert found["labels"].tolist() == [[label.label.encode() for label in labels] for labels in native]
    documents = [json.loads(text) for text in found["result"][:, 0]]
    assert [each["classification"]["labels"][0]["index"] for each in documents] == [each[0].index for each in native]


async def test_a_regression_head_answers_values(ask, host, photos):
    async with AsyncClient(host.address) as client:
        native = [(await client.regress(photo, "size")).result.values[0].value for photo in photos[:3]]
    found = await ask.infer("size", {"image": batch(photos[:3])}, ["values"])
    assert found["values"].tolist() == [[np.float32(value)] for value in native]
    assert set(found) == {"model_version", "id", "values"}, "what was not asked for is not answered"


async def test_both_forms_and_both_transports_answer_the_same_bits(triton, one, split, photos):
    inputs = {"image": batch(photos)}
    found = [
        await Asker(triton, kind, host).infer("imagenet", inputs, ["scores"])
        for kind in ("grpc", "http")
        for host in (one, split)
    ]
    assert len({each["scores"].tobytes() for each in found}) == 1


async def test_features_of_the_backbone_into_a_head_are_as_good_as_the_picture(ask, photos):
    features = await ask.infer(BACKBONE, {"image": batch(photos)}, parameters={"preprocess_of": "imagenet"})
    assert features["pooled"].shape == (len(photos), 1280)
    assert set(features) == {"model_version", "id", "pooled"}, "vectors are the default"
    wanted = await ask.infer("imagenet", {"image": batch(photos)}, ["scores", "labels"])
    found = await ask.infer("imagenet", {"pooled": features["pooled"]}, ["scores", "labels"])
    assert found["scores"].tobytes() == wanted["scores"].tobytes()
    assert found["labels"].tolist() == wanted["labels"].tolist()


async def test_maps_of_the_backbone_have_the_shape_of_its_metadata(ask, photos):
    found = await ask.infer(BACKBONE, {"image": batch(photos[:1])}, ["c5", "c3"])
    assert (found["c5"].shape, found["c3"].shape) == ((1, 320, 7, 7), (1, 40, 28, 28))


@pytest.mark.parametrize(("head", "output"), [("digit-angle", "values"), ("imagenet", "scores")])
async def test_preprocessed_pixels_are_as_good_as_the_picture(ask, models, photos, head, output):
    spec = Repository(models).head(head).manifest.preprocess
    limits = ImageLimits(2**24, 10**8)
    pixels = np.concatenate([preprocess(EncodedImage(path.read_bytes(), limits), spec)[0] for path in photos])
    wanted = await ask.infer(head, {"image": batch(photos)}, [output])
    found = await ask.infer(head, {"pixels": pixels}, [output])
    assert found[output].tobytes() == wanted[output].tobytes()


async def test_a_flat_batch_is_taken_too(ask, photos):
    flat = await ask.infer("imagenet", {"image": batch(photos)[:, 0]}, ["scores"])
    assert flat["scores"].shape == (len(photos), 5)


async def test_analyze_answers_each_head_and_a_missing_one_is_its_own_error(ask, photos):
    asked = {"heads": "imagenet, size,nothing"}
    found = await ask.infer("analyze", {"image": batch(photos[:2])}, parameters=asked)
    for text in found["result"][:, 0]:
        document = json.loads(text)
        assert [each["head"] for each in document["outcomes"]] == ["imagenet", "size", "nothing"]
        assert document["outcomes"][0]["classification"]["labels"]
        assert document["outcomes"][1]["regression"]["values"][0]["unit"] == "mm"
        assert document["outcomes"][2]["error"]["reason"] == "NOT_FOUND"


async def test_a_bad_picture_fails_its_request_by_its_place_and_no_other(ask, photos):
    bad = batch(photos)
    bad[2, 0] = b"no picture"
    results = await asyncio.gather(
        *(ask.infer("imagenet", {"image": each}, ["labels"]) for each in (batch(photos), bad, batch(photos)))
    )
    kind, status, message = results[1]
    assert (kind, status) == ("error", {"grpc": "StatusCode.INVALID_ARGUMENT", "http": "400"}[ask.kind])
    assert message.startswith(f"item 2 of the batch of {len(bad)}: not a picture")
    assert results[0]["labels"].tolist() == results[2]["labels"].tolist()


PICTURE = {"image": np.array([b"x"], object)}
REFUSED = [
    ("nothing", PICTURE, {}, "NOT_FOUND", "there is no head 'nothing'"),
    ("imagenet", PICTURE, {"model_version": "9"}, "NOT_FOUND", "serves no version '9'"),
    (BACKBONE, PICTURE, {"model_version": "9"}, "NOT_FOUND", "serves no version '9'"),
    ("imagenet", {}, {}, "INVALID_ARGUMENT", "no input came; inputs of this model: image, pixels, pooled"),
    (
        "imagenet",
        {"x": PICTURE["image"]},
        {},
        "INVALID_ARGUMENT",
        "no input 'x'; inputs of this model: image",
    ),
    ("imagenet", PICTURE, {"outputs": ["x"]}, "INVALID_ARGUMENT", "no output 'x'; outputs of this model: scores"),
    ("imagenet", {"image": np.zeros((1, 1), np.float32)}, {}, "INVALID_ARGUMENT", "is BYTES [-1, 1], not FP32"),
    ("imagenet", {"pooled": np.zeros((1, 3), np.float32)}, {}, "INVALID_ARGUMENT", "[-1, 1280], not FP32 [1, 3]"),
    ("imagenet", {"pooled": np.full((1, 1280), np.nan, np.float32)}, {}, "INVALID_ARGUMENT", "not finite"),
    ("imagenet", {"pooled": np.zeros((65, 1280), np.float32)}, {}, "INVALID_ARGUMENT", "1 to 64 items, not 65"),
    (
        "imagenet",
        {**PICTURE, "pooled": np.zeros((1, 1280), np.float32)},
        {},
        "INVALID_ARGUMENT",
        "exclude each other",
    ),
    ("imagenet", PICTURE, {"parameters": {"top": 1}}, "INVALID_ARGUMENT", "'top'"),
    ("imagenet", PICTURE, {"sequence_id": 7}, "INVALID_ARGUMENT", "no model keeps state"),
    ("analyze", PICTURE, {}, "INVALID_ARGUMENT", "parameter 'heads' must name the heads"),
    (BACKBONE, PICTURE, {"parameters": {"preprocess_of": "nothing"}}, "NOT_FOUND", "there is no head 'nothing'"),
]
HTTP_CODES = {"NOT_FOUND": "404", "INVALID_ARGUMENT": "400", "DEADLINE_EXCEEDED": "504", "UNIMPLEMENTED": "501"}


@pytest.mark.parametrize(("model", "inputs", "options", "code", "text"), REFUSED)
async def test_what_is_wrong_is_refused_in_clear_words(ask, photos, model, inputs, options, code, text):
    if options.get("parameters") == {"top": 1}:
        inputs = {"image": batch(photos[:1])}
    answer = await ask.infer(model, inputs, **options)
    assert answer[:2] == ("error", f"StatusCode.{code}" if ask.kind == "grpc" else HTTP_CODES[code]), answer
    assert text in answer[2]


async def test_the_timeout_of_a_request_is_kept(ask, photos):
    kind, status, _ = await ask.infer("imagenet", {"image": batch(photos * 8)}, timeout=1000)
    assert (kind, status) == ("error", "StatusCode.DEADLINE_EXCEEDED" if ask.kind == "grpc" else "504")


async def test_statistics_count_what_was_done(ask, photos):
    def counts(found):
        (kept,) = found["model_stats"]
        stats = kept["inference_stats"]
        return np.array(
            [
                int(kept["inference_count"]),
                int(stats["success"].get("count", 0)),
                int(stats["fail"].get("count", 0)),
                int(stats["compute_infer"].get("ns", 0)),
            ]
        )

    await ask.infer("size", {"image": batch(photos[:1])})
    await ask.infer("size", PICTURE)
    before = counts(await ask.call("get_inference_statistics", "size"))
    await ask.infer("size", {"image": batch(photos)})
    await ask.infer("size", PICTURE)
    grown = counts(await ask.call("get_inference_statistics", "size", "1")) - before
    assert grown[:3].tolist() == [len(photos), 1, 1]
    assert grown[3] > 0
    every = await ask.call("get_inference_statistics")
    assert {each["name"] for each in every["model_stats"]} == {"analyze", "digit-angle", BACKBONE, "imagenet", "size"}


async def test_the_index_lists_models_and_load_and_unload_are_honest(ask):
    found = await ask.call("get_model_repository_index")
    models = found["models"] if ask.kind == "grpc" else found
    assert {(each["name"], each["version"], each["state"]) for each in models} == {
        (name, VERSIONS.get(name, "1"), "READY") for name in ("analyze", "digit-angle", BACKBONE, "imagenet", "size")
    }
    assert await ask.call("load_model", "imagenet") is None
    missing = await ask.call("load_model", "nothing")
    refused = await ask.call("unload_model", "imagenet")
    assert "trunkline models promote NAME VERSION" in missing[2]
    assert refused[1] == ("StatusCode.UNIMPLEMENTED" if ask.kind == "grpc" else "501")
    assert "TRUNKLINE_HEADS" in refused[2]


async def test_a_stream_answers_in_order_and_an_error_costs_one_answer(triton, host, photos):
    batches = [{"image": batch([photos[place % len(photos)]])} for place in range(40)]
    batches[7] = {"image": np.array([[b"no picture"]], object)}
    found = await triton.run("stream", host.address, "imagenet", batches)
    ask = Asker(triton, "grpc", host)
    wanted = (await ask.infer("imagenet", {"image": batch(photos)}, ["scores"]))["scores"]
    assert len(found) == 40
    assert "not a picture" in found.pop(7)
    assert [each["id"] for each in found] == [str(place) for place in range(40) if place != 7]
    assert all(np.array_equal(each["scores"][0], wanted[int(each["id"]) % len(photos)]) for each in found)
