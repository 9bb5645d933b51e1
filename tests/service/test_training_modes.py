"""Every other way to get a head, on real photographs and digits: trained, exported, served."""

import gzip
import json
import random
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.crops import CLASSES, class_folders, crop, linked
from trunkline.client import AsyncClient
from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Epoch, Watcher
from trunkline.core.repository import Repository
from trunkline.core.train_request import FitOptions, TrainRequest
from trunkline.testing import serve
from trunkline.training.evaluation import evaluate_head
from trunkline.training.run import Places, train_head

SMALL = PreprocessSpec(width=96, height=96)


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("data"), samples)


@pytest.fixture(scope="module")
def places(tmp_path_factory, models):
    """One model folder for all: names differ."""
    folder = tmp_path_factory.mktemp("places")
    repository = linked(folder / "models", models)
    (repository / "heads").mkdir()
    (repository / "heads/imagenet").symlink_to(models / "heads/imagenet")
    return Places(repository, folder / "cache", folder / "work")


class StoppedError(Exception):
    pass


def train(places: Places, data: Path, name: str, stop_at: int | None = None, **fields) -> list[Epoch]:
    """Train in a work folder of its own. Returns the epochs of this attempt; stop_at breaks off at that epoch."""
    seen: list[Epoch] = []

    def on_epoch(epoch: Epoch) -> None:
        seen.append(epoch)
        if epoch.number == stop_at:
            raise StoppedError

    request = TrainRequest(name=name, data=str(data), **{"spec": SMALL, **fields})
    own = Places(places.models, places.cache, places.work / name)
    train_head(request, own, Watcher(lambda stage, done, total: None, on_epoch))
    return seen


async def answers_right(models: Path, head: str, data: Path) -> None:
    async with serve(models=models) as host, AsyncClient(host.address) as client:
        for name in CLASSES:
            answer = await client.classify(data / "test" / name / "0.jpg", head=head)
            assert answer.result.labels[0].label == name


async def test_a_pretrained_classifier_answers_with_the_classes_of_the_data(places, data, tmp_path, models):
    names = {"camera": "tripod", "chelsea": "tabby", "coffee": "espresso"}
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for name, label in names.items():
            (tmp_path / split / label).symlink_to(data / split / name)
    assert train(places, tmp_path, "as-it-is", mode="pretrained", spec=None) == []
    head = Repository(places.models).head("as-it-is")
    assert head.labels == ("espresso", "tabby", "tripod")
    assert head.manifest.mode == "pretrained"
    assert head.manifest.preprocess == Repository(models).head("imagenet").manifest.preprocess
    assert head.manifest.metrics["accuracy"] >= 0.9
    assert "Nothing was learned" in (head.path / "CARD.md").read_text()


def test_a_class_that_the_pretrained_classifier_does_not_know_is_told_by_its_place(places, data):
    with pytest.raises(InvalidRequestError, match="does not know class 1 of the 3 of the data and 2 more"):
        train(places, data, "unknown", mode="pretrained", spec=None)


def test_objects_cannot_be_laid_over_pictures_of_which_only_the_class_is_known(places, data):
    with pytest.raises(InvalidRequestError, match="the data has none"):
        train(places, data, "none", mode="transfer", augmentation="pasted")


async def test_transfer_learns_from_augmented_views(places, data):
    train(places, data, "transferred", mode="transfer", views=3, options=FitOptions(epochs=10))
    head = Repository(places.models).head("transferred")
    assert head.manifest.mode == "transfer"
    assert head.manifest.features == ("c4", "c5", "pooled")
    await answers_right(places.models, "transferred", data)


@pytest.mark.parametrize("tail", ["c4", "stage5"])
async def test_finetuning_gives_a_head_with_a_private_tail(places, data, tail):
    name = f"tuned-{tail}"
    train(places, data, name, mode="finetune", tail=tail, views=2, options=FitOptions(epochs=2))
    head = Repository(places.models).head(name)
    shared = head.manifest.settings["tail"]
    assert head.manifest.features == (tail,)
    assert shared["start"] == tail
    assert (0.55 < shared["shared_compute"] < 0.7) if tail == "c4" else (0.7 < shared["shared_compute"] < 1)
    assert head.manifest.metrics["accuracy"] >= 0.75
    await answers_right(places.models, name, data)


def test_finetuning_changes_the_tail_and_leaves_the_backbone(places, data):
    from trunkline.training.nets.tail import Tail

    backbone = Repository(places.models).backbone("efficientnet-lite0")
    import onnx

    train(places, data, "changed", mode="finetune", views=1, options=FitOptions(epochs=1, rate=1e-3))
    before = {parameter.shape: parameter for parameter in Tail(backbone.read_model(), "c4", ("pooled",)).parameters()}
    model = onnx.load(Repository(places.models).head("changed").model_path)
    kernels = [onnx.numpy_helper.to_array(item) for item in model.graph.initializer if len(item.dims) == 4]
    widest = max(kernels, key=lambda kernel: kernel.size)
    start = next(value for shape, value in before.items() if tuple(shape) == widest.shape)
    off = abs(widest - start.detach().numpy()).max()
    assert 1e-5 < off < 0.1


@pytest.mark.parametrize("net", ["cnn", "lenet5"])
def test_scratch_trains_an_own_net_on_the_pixels(places, data, net):
    spec = PreprocessSpec(width=32, height=32, resize="squash")
    name = f"own-{net}"
    train(
        places,
        data,
        name,
        mode="scratch",
        net=net,
        spec=spec,
        options=FitOptions(epochs=40, batch=8),
        augmentation="none",
    )
    head = Repository(places.models).head(name)
    assert head.manifest.features == ("image",)
    assert head.manifest.metrics["accuracy"] >= 0.7


def test_a_run_that_was_broken_off_goes_on_from_its_checkpoint(places, data):
    options = {"mode": "features", "options": FitOptions(epochs=12)}
    with pytest.raises(StoppedError):
        train(places, data, "resumed", stop_at=7, **options)
    assert not Repository(places.models).versions("head", "resumed")
    assert not list(places.models.glob(".export-*"))
    rest = train(places, data, "resumed", **options)
    assert 1 < rest[0].number <= 7
    assert rest[-1].number == 12
    card = (places.models / "heads/resumed/1/CARD.md").read_text()
    assert "Epochs 12" in card, "the curve must hold the epochs of both attempts"


@pytest.fixture(scope="module")
def bright(tmp_path_factory, samples):
    """Crops and their mean brightness, 0 to 100, with splits in a CSV file."""
    import io

    import numpy as np
    from PIL import Image

    folder, rng, lines = tmp_path_factory.mktemp("bright"), random.Random(3), ["file,brightness,split"]
    for number in range(36):
        picture = crop(samples / f"{CLASSES[number % 3]}.jpg", rng)
        (folder / f"{number}.jpg").write_bytes(picture)
        with Image.open(io.BytesIO(picture)) as opened:
            value = float(np.asarray(opened.convert("L")).mean()) / 2.55
        lines.append(f"{number}.jpg,{value:.3f},{'test' if number % 4 == 0 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


async def test_a_regression_head_answers_in_its_unit(places, bright):
    options = FitOptions(epochs=200)
    train(places, bright, "bright", task="regression", unit={"brightness": "%"}, options=options)
    head = Repository(places.models).head("bright")
    assert [target["kind"] for target in head.manifest.settings["targets"]] == ["number"]
    assert head.manifest.metrics["r2"] > 0.5
    assert (head.path / "scatter.png").is_file()
    found = evaluate_head(places.models, "bright", bright, None, lambda done, total: None)
    assert found["count"] == 9
    assert found["metrics"] == head.manifest.metrics
    async with serve(models=places.models) as host, AsyncClient(host.address) as client:
        answer = await client.regress(bright / "0.jpg", head="bright")
    value = answer.result.values[0]
    assert (value.name, value.unit) == ("brightness", "%")
    assert 0 < value.value < 100


@pytest.fixture
def digits(datasets, tmp_path):
    """The first digits of MNIST."""
    for stem, count in (("train12k", 800), ("t10k", 200)):
        for end, header in (("images-idx3", 16), ("labels-idx1", 8)):
            data = gzip.decompress((datasets / f"mnist/{stem}-{end}-ubyte.gz").read_bytes())
            each = 784 if header == 16 else 1
            cut = data[:4] + count.to_bytes(4, "big") + data[8 : header + count * each]
            (tmp_path / f"{stem}-{end}-ubyte.gz").write_bytes(gzip.compress(cut, 1))
    return tmp_path


def test_the_angle_of_a_digit_is_learned_as_an_angle(places, digits):
    """On few digits and epochs: far better than answering the mean, which is off by 26 degrees."""
    gray = PreprocessSpec(width=32, height=32, resize="squash", colour="L")
    asked = {"task": "regression", "mode": "scratch", "target": ("angle",), "angle": ("angle",), "spec": gray}
    train(places, digits, "angle", options=FitOptions(epochs=8), net="lenet5", **asked)
    head = Repository(places.models).head("angle")
    target = head.manifest.settings["targets"][0]
    assert (target["kind"], target["unit"]) == ("angle", "deg")
    assert json.loads(head.manifest.model_dump_json())["metrics"]["rmse"] < 20
