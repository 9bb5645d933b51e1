"""From a folder of pictures to a head that answers: mode `features`, on real photographs."""

import io
import random
from dataclasses import replace

import pytest
from PIL import Image

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from trunkline.catalog.catalog import Catalog
from trunkline.client import AsyncClient
from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.repository import Repository
from trunkline.testing import serve
from trunkline.training.data.read import read_dataset
from trunkline.training.evaluation import evaluate_head
from trunkline.training.features import FeatureStore, Recipe
from trunkline.training.fit import Epoch, FitOptions
from trunkline.training.run import TrainRequest, Watcher, train_head

CLASSES = ("camera", "chelsea", "coffee")
PICTURES = {"train": 8, "test": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    """Crops of three sample photographs, a folder for each split and class."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(5)
    for split, count in PICTURES.items():
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                (folder / split / name / f"{index}.jpg").write_bytes(crop(samples / f"{name}.jpg", rng))
    return folder


def crop(photo, rng: random.Random) -> bytes:
    with Image.open(photo) as picture:
        side = int(min(picture.size) * rng.uniform(0.6, 0.9))
        left, top = (rng.randrange(length - side) for length in picture.size)
        buffer = io.BytesIO()
        picture.convert("RGB").crop((left, top, left + side, top + side)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def repository(tmp_path, models):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "backbones").symlink_to(models / "backbones")
    return folder


def request(**changes) -> TrainRequest:
    fields = {"name": "photos", "spec": PreprocessSpec(width=128, height=128), "options": FitOptions(epochs=8)}
    return TrainRequest(**{**fields, **changes})


@pytest.fixture
def seen():
    return []


@pytest.fixture
def watcher(seen):
    return Watcher(lambda name, done, total: seen.append(name), seen.append)


async def test_a_trained_head_is_published_whole_and_answers(data, repository, tmp_path, watcher, seen):
    folder = train_head(request(), read_dataset(data), repository, tmp_path / "cache", watcher)
    assert folder == repository / "heads/photos/1"
    assert sorted(path.name for path in folder.iterdir()) == [
        "CARD.md",
        "confusion.png",
        "curves.png",
        "golden.npz",
        "labels.txt",
        "manifest.json",
        "model.onnx",
        "samples.jpg",
    ]
    assert {"features", "evaluation"} <= {stage for stage in seen if isinstance(stage, str)}
    head = Repository(repository).head("photos")
    assert head.labels == CLASSES
    assert head.manifest.metrics["accuracy"] >= 0.9
    async with serve(models=repository) as host, AsyncClient(host.address) as client:
        for name in CLASSES:
            answer = await client.classify(data / "test" / name / "0.jpg", head="photos")
            assert answer.result.labels[0].label == name


def test_evaluation_repeats_the_metrics_of_the_card(data, repository, tmp_path, watcher):
    train_head(request(), read_dataset(data), repository, tmp_path / "cache", watcher)
    found = evaluate_head(repository, "photos", read_dataset(data), None, lambda done, total: None)
    assert found["count"] == PICTURES["test"] * len(CLASSES)
    assert found["metrics"] == Repository(repository).head("photos").manifest.metrics
    assert set(found["metrics"]) == {"accuracy", "mean_class_accuracy", "top5_accuracy"}


def test_the_same_seed_gives_the_same_model_and_stored_features_are_used_again(data, repository, tmp_path, watcher):
    cache = tmp_path / "cache"
    import torch

    torch.manual_seed(12345)  # what ran before must not matter
    first = train_head(request(), read_dataset(data), repository, cache, watcher)
    stored = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    torch.manual_seed(54321)
    second = train_head(request(), read_dataset(data), repository, cache, watcher)
    assert len(stored) == 2 * PICTURES["train"] * len(CLASSES)
    assert stored == {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    assert second.name == "2"
    assert (first / "model.onnx").read_bytes() == (second / "model.onnx").read_bytes()
    catalog = Catalog(repository)
    assert catalog.model("photos").catalog.default == 1  # published, not promoted
    assert catalog.promote("photos", 2, margin=0).catalog.default == 2  # measured on the same samples


def test_a_broken_picture_fails_the_run_by_name_and_publishes_nothing(data, repository, tmp_path, watcher):
    broken = data / "train/coffee/broken.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    try:
        with pytest.raises(DataInvalidError, match=r"train/coffee/broken\.jpg"):
            train_head(request(), read_dataset(data), repository, tmp_path / "cache", watcher)
    finally:
        broken.unlink()
    assert [path.name for path in repository.iterdir()] == ["backbones"]


def test_equal_pictures_are_stored_side_by_side(data, models, tmp_path):
    same = read_dataset(data).samples[:1] * 64
    store = FeatureStore(Repository(models).backbone("efficientnet-lite0"), tmp_path)
    for size in (32, 64, 96, 128):
        recipe = Recipe(("pooled",), PreprocessSpec(width=size, height=size))
        vectors = store.vectors(same, recipe, lambda done, total: None)
        assert (vectors == vectors[0]).all()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 4


def test_validation_data_picks_the_best_epoch(data, repository, tmp_path, watcher, seen):
    dataset = read_dataset(data)
    halves = tuple(
        replace(sample, split="val") if sample.split == "train" and number % 2 else sample
        for number, sample in enumerate(dataset.samples)
    )
    train_head(request(), replace(dataset, samples=halves), repository, tmp_path / "cache", watcher)
    epochs = [epoch for epoch in seen if isinstance(epoch, Epoch)]
    assert epochs
    assert all(epoch.validation_metric is not None for epoch in epochs)
    assert Repository(repository).head("photos").manifest.metrics["accuracy"] >= 0.9


def test_a_head_cannot_be_evaluated_on_data_without_classes(models, tmp_path, samples):
    (tmp_path / "counts.csv").write_text("file,count\na.jpg,3\n")
    (tmp_path / "a.jpg").write_bytes((samples / "coffee.jpg").read_bytes())
    with pytest.raises(InvalidRequestError, match="no classes"):
        evaluate_head(models, "imagenet", read_dataset(tmp_path), None, lambda done, total: None)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"train_splits": ("nothing",)}, r"no pictures of split nothing; the data has \['test', 'train'\]"),
        ({"train_splits": ("train", "test")}, "cannot be learned from and evaluated on"),
        ({"features": ("c9",)}, "has no feature"),
        ({"name": "My Photos"}, "--name 'My Photos'"),
    ],
)
def test_a_request_that_does_not_fit_the_data_says_why(data, repository, tmp_path, watcher, changes, match):
    with pytest.raises(InvalidRequestError, match=match):
        train_head(request(**changes), read_dataset(data), repository, tmp_path / "cache", watcher)
    assert [path.name for path in repository.iterdir()] == ["backbones"]
