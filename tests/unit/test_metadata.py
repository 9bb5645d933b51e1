"""Hugging Face's ImageFolder: metadata.jsonl and metadata.csv with labels or objects."""

import json
from pathlib import Path

import pytest

from tests.unit.object_data import put, write_lines
from trunkline.core.errors import DataInvalidError
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset
from trunkline.training.data.reading import limit_annotations

BOX = [10, 10, 20, 16]


def write(folder: Path, *rows: object, pictures: int | None = None) -> Path:
    for number in range(len(rows) if pictures is None else pictures):
        put(folder / f"{number}.jpg", number)
    return write_lines(folder / "metadata.jsonl", *map(json.dumps, rows))


def row(number: int, *boxes: object, labels: object = None, **more: object) -> dict:
    classes = [0] * len(boxes) if labels is None else labels
    return {"file_name": f"{number}.jpg", "objects": {"bbox": list(boxes), "categories": classes}, **more}


def kinds(root: Path, task: str = "detection") -> dict[str, int]:
    report = check_dataset(read_dataset(root, task=task), workers=1)
    assert report.problems == ()
    return {kind.value: count for kind, count in report.remark_counts.items()}


def test_objects(tmp_path):
    write(tmp_path, row(0, BOX, [0, 0, 5.5, 5], labels=[1, 0]), row(1),
          {"file_name": "2.jpg", "objects": [{"bbox": BOX, "category": "cat"}]})  # fmt: skip
    data = read_dataset(tmp_path)
    assert (data.layout, data.classes) == ("metadata", ("0", "1", "cat"))
    assert [[(each.label, *vars(each.box).values()) for each in sample.objects] for sample in data.samples] == [
        [(1, 10, 10, 30, 26), (0, 0, 0, 5.5, 5)],
        [],
        [(2, 10, 10, 30, 26)],
    ]
    assert kinds(tmp_path) == {}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_labels(tmp_path, form):
    for split, label in (("train", 0), ("validation", 1)):
        rows = [{"file_name": "0.jpg", "label": label}, {"file_name": "1.jpg", "label": 1 - label}]
        path = write(tmp_path / "data" / split, *rows)
        if form == "csv":
            path.unlink()
            lines = [f"{each['file_name']},{each['label']}" for each in rows]
            write_lines(path.with_suffix(".csv"), "file_name,label", *lines)
    data = read_dataset(tmp_path)
    assert data.layout == "metadata"
    assert [(sample.name, sample.split, data.classes[sample.label]) for sample in data.samples] == [
        ("data/train/0.jpg", "train", "0"),
        ("data/train/1.jpg", "train", "1"),
        ("data/validation/0.jpg", "val", "1"),
        ("data/validation/1.jpg", "val", "0"),
    ]
    assert kinds(tmp_path, "classification") == {}


def test_splits_by_the_names(tmp_path):
    for split in ("train", "test"):
        put(tmp_path / split / "0.jpg", len(split))
    write(tmp_path, *({"file_name": f"{split}/0.jpg", "label": split} for split in ("train", "test")), pictures=0)
    samples = read_dataset(tmp_path, task="classification").samples
    assert [(sample.name, sample.split) for sample in samples] == [("train/0.jpg", "train"), ("test/0.jpg", "test")]


def test_captions_are_no_classes(tmp_path):
    """A metadata file without labels says nothing here: folders are the classes."""
    for name in ("cat", "dog"):
        put(tmp_path / name / "0.jpg", len(name))
    write(tmp_path, {"file_name": "cat/0.jpg", "text": "a cat"}, pictures=0)
    assert read_dataset(tmp_path).layout == "folders"


@pytest.mark.parametrize(
    ("odd", "remarks"),
    [
        (row(1, [1, 2, 3]), {"box": 1}),
        (row(1, [1, 2, 0, 4]), {"box": 1}),
        (row(1, [1, 2, 300, 4]), {"box": 1}),
        (row(1, [1, 2, None, 4]), {"box": 1}),
        (row(1, ["1", 2, 3, 4]), {"number-as-text": 1}),
        (row(1, BOX, labels=[True]), {"class": 1}),
        (row(1, BOX, labels=[0, 1]), {"entry": 1}),
        ({"file_name": "1.jpg", "objects": 7}, {"entry": 1}),
        ({"file_name": 7}, {"row": 1}),
        ({"file_name": "gone.jpg", "objects": None}, {"picture-missing": 1}),
        ({"file_name": "0.jpg", "objects": None}, {"picture-in-doubt": 2}),
        ([], {"row": 1}),
    ],
)
def test_odd_rows(tmp_path, odd, remarks):
    write(tmp_path, row(0, BOX), odd, row(2, BOX))
    assert kinds(tmp_path) == remarks


def test_hostile_files(tmp_path):
    path = write(tmp_path, row(0, BOX), row(1))
    good = path.read_text()
    path.write_text(good + "[" * 100_000 + "\n{\n")
    assert kinds(tmp_path) == {"row": 2}
    path.write_bytes(b"\xff" + good.encode())
    with pytest.raises(DataInvalidError, match="UTF-8"):
        read_dataset(tmp_path, task="detection")
    try:
        limit_annotations(1)
        path.write_text(good + "[[]]\n" * 100_000)
        with pytest.raises(DataInvalidError, match="too many"):
            read_dataset(tmp_path, task="detection")
    finally:
        limit_annotations(256)
