"""From a folder of pictures to a head that answers: mode `features`, on real photographs."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.crops import CLASSES, PICTURES, class_folders, linked
from trunkline.catalog.catalog import Catalog
from trunkline.client import AsyncClient
from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Epoch, Watcher
from trunkline.core.repository import Repository
from trunkline.core.train_request import FitOptions, TrainRequest
from trunkline.testing import serve
from trunkline.training.data.read import read_dataset
from trunkline.training.evaluation import evaluate_head
from trunkline.training.features import FeatureStore, Recipe
from trunkline.training.run import Places, train_head


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("data"), samples)


@dataclass
class Bench:
    """Where a run takes place, and what was seen of it."""

    places: Places
    data: Path

    def __post_init__(self):
        self.seen: list[str | Epoch | tuple[int, int]] = []

    @property
    def models(self) -> Path:
        return self.places.models

    def train(self, data: Path | None = None, **changes) -> Path:
        fields = {
            "name": "photos",
            "data": str(data or self.data),
            "spec": PreprocessSpec(width=128, height=128),
            "options": FitOptions(epochs=8),
        }
        watcher = Watcher(
            lambda name, done, total: self.seen.append(name),
            self.seen.append,
            lambda *counts: self.seen.append(counts),
        )
        return train_head(TrainRequest(**{**fields, **changes}), self.places, watcher)


@pytest.fixture
def bench(tmp_path, models, data):
    return Bench(Places(linked(tmp_path / "models", models), tmp_path / "cache", tmp_path / "work"), data)


def nothing(done: int, total: int) -> None:
    pass


async def test_a_trained_head_is_published_whole_and_answers(bench, data):
    folder = bench.train()
    assert folder == bench.models / "heads/photos/1"
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
    assert {"data", "features", "evaluation"} <= {stage for stage in bench.seen if isinstance(stage, str)}
    head = Repository(bench.models).head("photos")
    assert head.labels == CLASSES
    assert head.manifest.metrics["accuracy"] >= 0.9
    card = (folder / "CARD.md").read_text()
    assert "trunkline train --task classification --mode features" in card
    assert str(data.parent) not in card
    async with serve(models=bench.models) as host, AsyncClient(host.address) as client:
        for name in CLASSES:
            answer = await client.classify(data / "test" / name / "0.jpg", head="photos")
            assert answer.result.labels[0].label == name


def test_evaluation_repeats_the_metrics_of_the_card(bench, data):
    bench.train()
    found = evaluate_head(bench.models, "photos", data, None, nothing)
    assert found["count"] == PICTURES["test"] * len(CLASSES)
    assert found["metrics"] == Repository(bench.models).head("photos").manifest.metrics
    assert set(found["metrics"]) == {"accuracy", "mean_class_accuracy", "top5_accuracy"}


def test_the_same_seed_gives_the_same_model_and_stored_features_are_used_again(bench):
    import torch

    torch.manual_seed(12345)  # what ran before must not matter
    first = bench.train()
    cache = bench.places.cache
    stored = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    torch.manual_seed(54321)
    shutil.rmtree(bench.places.work)
    second = bench.train()
    assert len(stored) == 2 * PICTURES["train"] * len(CLASSES)
    assert stored == {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    assert second.name == "2"
    assert (first / "model.onnx").read_bytes() == (second / "model.onnx").read_bytes()
    catalog = Catalog(bench.models)
    assert catalog.model("photos").catalog.default == 1  # published, not promoted
    assert catalog.promote("photos", 2, margin=0).catalog.default == 2  # measured on the same samples


def test_with_strict_a_broken_picture_fails_the_run_by_name_and_publishes_nothing(bench, data):
    broken = data / "train/coffee/broken.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    try:
        with pytest.raises(DataInvalidError, match=r"train/coffee/broken\.jpg"):
            bench.train(strict=True)
    finally:
        broken.unlink()
    assert set(bench.seen) == {"data"}, "it must fail before anything is learned"
    assert [path.name for path in bench.models.iterdir()] == ["backbones"]


def test_equal_pictures_are_stored_side_by_side(data, models, tmp_path):
    same = read_dataset(data).samples[:1] * 64
    store = FeatureStore(Repository(models).backbone("efficientnet-lite0"), tmp_path)
    for size in (32, 64, 96, 128):
        recipe = Recipe(("pooled",), PreprocessSpec(width=size, height=size))
        vectors = [item.vector() for item in store.stored(same, recipe, 1, nothing)[0]]
        assert all((vector == vectors[0]).all() for vector in vectors)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 4


def test_validation_data_picks_the_best_epoch(bench, tmp_path, samples):
    bench.train(class_folders(tmp_path / "data", samples, {"train": 6, "val": 3, "test": 4}))
    epochs = [epoch for epoch in bench.seen if isinstance(epoch, Epoch)]
    assert epochs
    assert all(epoch.validation_metric is not None for epoch in epochs)
    assert 0.1 <= Repository(bench.models).head("photos").manifest.settings["temperature"] <= 10
    assert Repository(bench.models).head("photos").manifest.metrics["accuracy"] >= 0.9


def test_data_without_splits_is_held_out_by_name(bench, tmp_path, samples):
    card = (bench.train(class_folders(tmp_path / "data", samples, {"": 10})) / "CARD.md").read_text()
    assert all(count in card for count in ("train 21", "val 3", "test 6"))


def test_a_head_cannot_be_evaluated_on_data_without_classes(models, tmp_path, samples):
    (tmp_path / "counts.csv").write_text("file,count\na.jpg,3\n")
    (tmp_path / "a.jpg").write_bytes((samples / "coffee.jpg").read_bytes())
    with pytest.raises(InvalidRequestError, match="no classes"):
        evaluate_head(models, "imagenet", tmp_path, None, nothing)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"train_splits": ("nothing",)}, r"no pictures of split nothing; the data has \['test', 'train'\]"),
        ({"train_splits": ("train", "test")}, "cannot be learned from and evaluated on"),
        ({"features": ("c9",)}, "has no feature"),
        ({"task": "poetry"}, "'poetry' cannot be trained; tasks that can: .*classification, detection"),
        ({"task": "regression"}, "no numbers to learn"),
        ({"mode": "finetune", "tail": "c3"}, "cannot begin at 'c3'; it can at c4"),
        ({"mode": "scratch", "net": "lenet5"}, "lenet5 takes 32x32 pixels"),
    ],
)
def test_a_request_that_does_not_fit_the_data_says_why(bench, changes, match):
    with pytest.raises(InvalidRequestError, match=match):
        bench.train(**changes)
    assert [path.name for path in bench.models.iterdir()] == ["backbones"]


def test_what_is_broken_in_data_is_left_out_and_the_count_is_told_and_on_the_card(bench, data, tmp_path):
    spoiled = tmp_path / "spoiled"
    shutil.copytree(data, spoiled)
    cut = spoiled / "train" / CLASSES[0] / "0.jpg"
    cut.write_bytes(cut.read_bytes()[:200])
    broken = spoiled / "test" / CLASSES[0] / "0.jpg"
    broken.write_bytes(b"text")
    (spoiled / "train" / CLASSES[0] / "notes.txt").write_text("x")
    folder = bench.train(spoiled)
    assert (3, 2) in bench.seen
    assert (
        "Read with 3 remarks, 2 pictures left out: `trunkline data check` shows them."
        in (folder / "CARD.md").read_text()
    )
    found = evaluate_head(bench.models, "photos", spoiled, None, nothing)
    assert found["count"] == PICTURES["test"] * len(CLASSES) - 1
    assert found["metrics"] == Repository(bench.models).head("photos").manifest.metrics
    assert found["remarks"] == 2
    with pytest.raises(DataInvalidError, match="and 2 more: trunkline data check"):
        Bench(replace(bench.places, work=tmp_path / "strict"), data).train(spoiled, strict=True)
