"""Data sets as exports of tools lie in their folders: FiftyOne, SAHI, Roboflow, CVAT; and labelme's masks."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")

from tests.unit.object_data import annotation, image, put, write_coco
from trunkline.core.errors import DataInvalidError
from trunkline.training.data.read import read_dataset


def found(root: Path, task: str = "detection") -> dict[str, tuple[str, list[str]]]:
    data = read_dataset(root, task=task)
    assert data.faults == ()

    def classes(sample) -> list[str]:
        if task == "classification":
            return [data.classes[sample.label]]
        return [data.classes[each.label] for each in sample.objects]

    return {sample.name: (sample.split, classes(sample)) for sample in data.samples}


def kinds(root: Path, task: str = "detection") -> dict[str, int]:
    return {kind.value: count for kind, count in read_dataset(root, task=task).remarks.counts.items()}


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("labels.json", "data"),  # FiftyOne
        ("train/labels.json", "train/data"),
        ("coco_640_02.json", "coco_images_640_02"),  # SAHI
        ("annotations/instances_default.json", "images/default"),  # CVAT
        ("annotations/all.json", "JPEGs"),
    ],
)
def test_pictures_of_coco_in_the_folders_of_tools(tmp_path, file, folder):
    for number in (1, 2):
        put(tmp_path / folder / f"{number}.jpg", number)
    entries = [annotation(1, 1), annotation(2, 2, category=9)]
    write_coco(tmp_path / file, [image(n, f"{n}.jpg") for n in (1, 2)], entries)
    split = "train" if "train" in file else ""
    assert found(tmp_path) == {f"{folder}/1.jpg": (split, ["cat"]), f"{folder}/2.jpg": (split, ["dog"])}
    assert kinds(tmp_path) == {}


def test_one_folder_of_another_split_is_not_taken(tmp_path):
    put(tmp_path / "val/1.jpg", 1)
    write_coco(tmp_path / "train.json", [image(1, "1.jpg")], [annotation(1, 1)])
    assert kinds(tmp_path).keys() <= {"picture-missing", "name-path-end"}
    assert "val/1.jpg" not in {sample.name for sample in read_dataset(tmp_path, task="detection").samples}


def roboflow(root: Path, text: str) -> Path:
    for split in ("train", "valid"):
        for number in range(3):
            put(root / f"{split}/{number}.jpg", number)
        (root / f"{split}/_classes.csv").write_text(text)
    return root


def test_a_column_for_each_class(tmp_path):
    root = roboflow(tmp_path, "filename, cat, big dog\n0.jpg, 1, 0\n1.jpg, 0, 1\n2.jpg, 1, 1\n")
    assert found(root, "classification") == {
        "train/0.jpg": ("train", ["cat"]),
        "train/1.jpg": ("train", ["big dog"]),
        "valid/0.jpg": ("val", ["cat"]),
        "valid/1.jpg": ("val", ["big dog"]),
    }
    assert kinds(root, "classification") == {"class": 2}
    assert read_dataset(root).layout == "one-hot"


def test_folders_of_splits_are_no_classes(tmp_path):
    """They were: train and valid were two classes."""
    for split in ("train", "valid"):
        put(tmp_path / f"{split}/0.jpg", 0)
    with pytest.raises(DataInvalidError, match="train, valid hold pictures and no folders of classes"):
        read_dataset(tmp_path)


def labelme(root: Path, mask: object, points=((5, 6), (16, 15))) -> Path:
    for number in range(2):
        put(root / f"{number}.jpg", number)
        shapes = [{"label": "dog", "points": [[1, 1], [20, 20]], "shape_type": "rectangle"}]
        if number == 0:
            shapes.append({"label": "cat", "points": points, "shape_type": "mask", "mask": mask})
        document = {"version": "5.5.0", "shapes": shapes, "imagePath": f"{number}.jpg", "imageData": None,
                    "imageHeight": 48, "imageWidth": 64}  # fmt: skip
        (root / f"{number}.json").write_text(json.dumps(document))
    return root


def png(values: np.ndarray) -> str:
    written = io.BytesIO()
    Image.fromarray(values).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


@pytest.mark.parametrize("seed", range(4))
def test_masks_of_labelme_are_read_pixel_by_pixel(tmp_path, seed):
    part = np.random.default_rng(seed).random((10, 12)) < 0.4
    data = read_dataset(labelme(tmp_path, png(part)), task="detection")
    whole = np.zeros((48, 64), bool)
    whole[6:16, 5:17] = part
    cat = next(each for each in data.samples[0].objects if data.classes[each.label] == "cat")
    rows, columns = np.nonzero(whole)
    assert (cat.mask.load() == whole).all()
    sides = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert tuple(vars(cat.box).values()) == pytest.approx(sides)
    assert data.remarks.total() == 0


@pytest.mark.parametrize(
    ("mask", "points"),
    [
        ("no base64", ((5, 6), (16, 15))),
        (base64.b64encode(b"no picture").decode(), ((5, 6), (16, 15))),
        (png(np.zeros((10, 12), bool)), ((5, 6), (16, 15))),
        (png(np.ones((10, 12), bool)), ((60, 6), (71, 15))),
        (png(np.ones((10, 12), bool)), ((-1, 6), (10, 15))),
        (png(np.ones((10, 12, 3), np.uint8)), ((5, 6), (16, 15))),
        (png(np.ones((10, 12), bool)), 7),
    ],
)
def test_a_mask_that_is_none_costs_its_object_alone(tmp_path, mask, points):
    assert kinds(labelme(tmp_path, mask, points)) == {"outline": 1}
    assert [each[1] for each in found(tmp_path).values()] == [["dog"], ["dog"]]


@pytest.mark.parametrize(("nc", "said"), [("2", {}), ("'2'", {}), ("", {}), ("80", {"class-count": 1})])
def test_a_number_of_classes_that_is_not_that_of_the_names_is_said(tmp_path, nc, said):
    put(tmp_path / "images/0.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/0.txt").write_text("1 0.5 0.5 0.25 0.25\n")
    (tmp_path / "data.yaml").write_text(f"train: images\nnc: {nc}\nnames: [cat, dog]\n")
    assert found(tmp_path) == {"images/0.jpg": ("train", ["dog"])}
    assert kinds(tmp_path) == said
