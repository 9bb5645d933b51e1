"""Unknown pictures and parents of classes through the real path: drawn pictures, trained, served, asked."""

import asyncio
import csv
import http.client
import json
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.crops import linked
from trunkline.client import AsyncClient
from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Watcher
from trunkline.core.repository import Repository
from trunkline.core.train_command import request_on_card
from trunkline.core.train_request import FitOptions, TrainRequest
from trunkline.heads.classification.remembering import auroc
from trunkline.testing import serve, serve_split
from trunkline.training.data.dataset import Sample
from trunkline.training.evaluation import answers, evaluate_head
from trunkline.training.familiar import make_familiar
from trunkline.training.run import Places, train_head

pytestmark = pytest.mark.slow
of_module = pytest.mark.asyncio(loop_scope="module")
SMALL = PreprocessSpec(width=96, height=96)
SHAPES = {"ring": "round", "disc": "round", "square": "straight", "cross": "straight"}
PICTURES = {"train": 10, "val": 8, "test": 5}
PNG = "image/png"
HTTP = {"http_address": "127.0.0.1:0"}


def drawn(shape: str, random: np.random.Generator) -> np.ndarray:
    """uint8 (96, 96, 3): a shape of a colour somewhere on gray."""
    down, across = np.mgrid[:96, :96] - random.uniform(38, 58, (2, 1, 1))
    size, away = random.uniform(18, 30), np.hypot(down, across)
    inside = {
        "ring": (away < size) & (away > 0.6 * size),
        "disc": away < size,
        "square": np.maximum(abs(down), abs(across)) < size,
        "cross": (np.minimum(abs(down), abs(across)) < 0.3 * size) & (np.maximum(abs(down), abs(across)) < size),
    }[shape]
    pixels = np.full((96, 96, 3), random.uniform(60, 120)) + random.normal(0, 4, (96, 96, 3))
    pixels[inside] = random.uniform(150, 255, 3)
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder, random = tmp_path_factory.mktemp("shapes"), np.random.default_rng(4)
    for split, count in PICTURES.items():
        for shape in SHAPES:
            (folder / split / shape).mkdir(parents=True)
            for place in range(count):
                Image.fromarray(drawn(shape, random)).save(folder / split / shape / f"{place}.png")
    rows = [*SHAPES.items(), ("round", "shape"), ("straight", "shape")]
    (folder / "tree.csv").write_text("class,parent\n" + "".join(f"{name},{above}\n" for name, above in rows))
    return folder


@pytest.fixture(scope="module")
def strange(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("strange") / "noise.png"
    Image.fromarray(np.random.default_rng(9).integers(0, 256, (96, 96, 3)).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def places(tmp_path_factory, models) -> Places:
    folder = tmp_path_factory.mktemp("places")
    repository = linked(folder / "models", models)
    (repository / "heads").mkdir()
    (repository / "heads/imagenet").symlink_to(models / "heads/imagenet")
    return Places(repository, folder / "cache", folder / "work")


def train(places: Places, data: Path, name: str, **fields) -> Path:
    request = TrainRequest(name=name, data=str(data), **{"spec": SMALL, **fields})
    return train_head(
        request, Places(places.models, places.cache, places.work / name), Watcher(lambda *_: None, lambda _: None)
    )


@pytest.fixture(scope="module")
def shapes(places, data) -> Path:
    return train(places, data, "shapes", task_options={"hierarchy": "tree.csv"})


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[serve, serve_split])
async def host(request, places, shapes):
    async with request.param(models=places.models, **HTTP) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=60)
        yield host


@of_module
async def test_answers_say_what_is_known_and_what_is_above(host, data, strange):
    async with AsyncClient(host.address) as client:
        known = [
            (await client.classify(picture, head="shapes")).result for picture in sorted(data.glob("test/*/*.png"))
        ]
        far = (await client.classify(strange, head="shapes")).result
        plain = (await client.classify(strange, head="imagenet")).result
    assert np.mean([each.known > 0.5 for each in known]) > 0.8
    assert far.known < 0.5
    assert plain.known is None
    assert plain.parents == ()
    for result in known:
        assert [each.label for each in result.parents][1] == "shape"
        sums = {
            name: sum(each.score for each in result.labels if SHAPES[each.label] == name) for name in SHAPES.values()
        }
        assert result.parents[0].label == max(sums, key=sums.get)
        assert result.parents[0].score == pytest.approx(max(sums.values()), abs=1e-5)


@of_module
async def test_a_stream_and_an_analyze_say_the_same(host, strange):
    async with AsyncClient(host.address) as client:
        alone = (await client.classify(strange, head="shapes")).result
        (outcome,) = (await client.analyze(strange, ["shapes"])).outcomes
        streamed = [each async for each in client.analyze_stream([strange, strange], ["shapes"])]
    assert outcome.result == alone
    assert [each.value().outcomes[0].result for each in streamed] == [alone, alone]


@of_module
async def test_http_has_the_field_where_the_head_has_it(host, strange):
    def ask(head: str) -> dict:
        connection = http.client.HTTPConnection(host.http_address, timeout=60)
        try:
            connection.request(
                "POST", f"/v1/images:classify?head={head}", strange.read_bytes(), {"Content-Type": PNG}
            )
            return json.loads(connection.getresponse().read())["outcome"]["classification"]
        finally:
            connection.close()

    own, plain = await asyncio.to_thread(ask, "shapes"), await asyncio.to_thread(ask, "imagenet")
    assert own["known"] < 0.5
    assert [each["label"] for each in own["parents"]][1] == "shape"
    assert "known" not in plain


@of_module
async def test_both_forms_say_the_same(places, shapes, strange):
    found = []
    for form in (serve, serve_split):
        async with form(models=places.models) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=60)
            found.append((await client.classify(strange, head="shapes")).result)
    assert found[0] == found[1]


def test_the_card_and_the_metrics_state_it(places, shapes, data):
    card = (shapes / "CARD.md").read_text()
    assert "## Unknown pictures" in card
    assert "| near: each half of the classes" in card
    assert "called unknown" in card
    metrics = Repository(places.models).head("shapes").manifest.metrics
    measured = evaluate_head(places.models, "shapes", data, None, lambda done, total: None)["metrics"]
    assert {"level_1_accuracy", "level_2_accuracy"} <= metrics.keys()
    assert measured == pytest.approx(metrics)
    assert metrics["level_1_accuracy"] >= metrics["accuracy"]
    assert metrics["level_2_accuracy"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "finetune", "tail": "c5"},
        {"mode": "transfer", "views": 2, "features": ("pooled",)},
        {"mode": "scratch", "net": "lenet5", "spec": PreprocessSpec(resize="squash", width=32, height=32)},
    ],
    ids=lambda fields: fields["mode"],
)
def test_other_modes_tell_too(places, data, strange, fields):
    mode = fields["mode"]
    folder = train(places, data, mode, options=FitOptions(epochs=4), **fields)
    head = Repository(places.models).head(mode)
    assert "known" in head.manifest.settings, folder
    backbone = Repository(places.models).backbone("efficientnet-lite0")
    pictures = [strange, *sorted(data.glob("val/*/*.png"))]
    samples = [Sample(each.name, "", None, (), each.read_bytes) for each in pictures]
    far, *known = [each.known for each in answers(head, backbone, samples, lambda done, total: None)]
    assert far < np.median(known)


def test_a_head_from_before_learns_it_without_training(places, data, strange):
    train(places, data, "before", mode="finetune", tail="c5", validation_split="none", options=FitOptions(epochs=2))
    before = Repository(places.models).head("before")
    assert "known" not in before.manifest.settings  # no pictures to tell by that its tail was not fitted to
    make_familiar("before", data, places.models, lambda done, total: None)
    after = Repository(places.models).head("before")
    assert (before.manifest.version, after.manifest.version) == (1, 2)
    assert after.manifest.metrics == before.manifest.metrics
    backbone = Repository(places.models).backbone("efficientnet-lite0")
    samples = [Sample("x", "", None, (), each.read_bytes) for each in (strange, *sorted(data.glob("test/*/*.png")))]
    old, new = (answers(head, backbone, samples, lambda done, total: None) for head in (before, after))
    assert [each.labels for each in new] == [each.labels for each in old]
    assert new[0].known < np.median([each.known for each in new[1:]])
    assert "trunkline models known" in after.card
    assert request_on_card(after.card) == request_on_card(before.card)
    with pytest.raises(InvalidRequestError, match="already"):
        make_familiar("before/2", data, places.models, lambda done, total: None)
    with pytest.raises(InvalidRequestError, match="not made by trunkline train"):
        make_familiar("imagenet", data, places.models, lambda done, total: None)


def test_several_labels_tell_by_the_distance(places, data, strange, tmp_path):
    lines = ["file,label,split"]
    for picture in sorted(data.glob("*/*/*.png")):
        split, shape, name = picture.relative_to(data).parts
        (tmp_path / f"{split}-{shape}-{name}").symlink_to(picture)
        lines.append(f"{split}-{shape}-{name},{shape};{SHAPES[shape]},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    train(places, tmp_path, "several", task_options={"labels": "many"})
    assert "probability" not in Repository(places.models).head("several").manifest.settings["known"]


def test_flowers_that_were_not_learned_are_less_known(places, datasets, tmp_path):
    """Ten kinds of flowers, ten others, and photographs of streets."""
    rows = list(csv.DictReader((datasets / "flowers102/labels.csv").read_text().splitlines()))
    lines, near = ["file,label,split"], []
    (tmp_path / "images").symlink_to(datasets / "flowers102/images")
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        kind, key = int(row["class_id"]), (row["class_id"], row["split"])
        counts[key] = counts.get(key, 0) + 1
        if kind > 20 or counts[key] > 10:
            continue
        if kind % 2:
            lines.append(f"{row['file']},{row['class_name']},{row['split']}")
        elif row["split"] == "test":
            near.append(tmp_path / row["file"])
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    train(places, tmp_path, "flowers", spec=None)
    head, backbone = (
        Repository(places.models).head("flowers"),
        Repository(places.models).backbone("efficientnet-lite0"),
    )

    def novelty(pictures: list[Path]) -> np.ndarray:
        samples = [Sample(each.name, "", None, (), each.read_bytes) for each in pictures]
        return np.array([1 - each.known for each in answers(head, backbone, samples, lambda done, total: None)])

    known = novelty([tmp_path / line.split(",")[0] for line in lines[1:] if line.endswith(",test")])
    assert auroc(known, novelty(near)) > 0.75
    assert auroc(known, novelty(sorted((datasets / "camvid/test").iterdir())[:40])) > 0.98
