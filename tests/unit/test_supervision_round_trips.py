"""Data sets made at random, written by the library supervision, are read back equal."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="needs the dev extra: pip install -e '.[dev]'")
pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("supervision", reason="needs the dev extra: pip install -e '.[dev]'")
import supervision as sv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.object_data import SIZE, put
from trunkline.training.data.read import read_dataset

WIDTH, HEIGHT = SIZE
SPLITS = ("train", "val", "test")
FOLDERS = {"train": "train", "val": "valid", "test": "test"}  # as Roboflow calls them
CROWD, OUTLINE, BOX = "crowd", "outline", "box"
WRITTEN = settings(max_examples=int(os.environ.get("TRUNKLINE_TEST_EXAMPLES", "25")), deadline=None,
                   suppress_health_check=[HealthCheck.too_slow])  # fmt: skip

_NAMES = st.lists(
    st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="/\\<>&\"'#:%{}[],\x7f",
                          exclude_categories=("Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=9)
    .filter(lambda name: name.strip() == name and not name.startswith((".", "-", "?", "!", "*", "|", "@", "`")))
    .filter(lambda name: name.lower() not in ("void", "ignore", "ignored", "background", "null", "true", "false")),
    min_size=2, max_size=4, unique_by=str.casefold,
)  # fmt: skip


@st.composite
def boxes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    left, top = draw(st.integers(0, WIDTH - 4)), draw(st.integers(0, HEIGHT - 4))
    return left, top, draw(st.integers(left + 3, WIDTH)), draw(st.integers(top + 3, HEIGHT))


@st.composite
def worlds(draw: st.DrawFn):
    """Names of classes; by split, the objects of each picture: class and box. Each class and split occurs."""
    classes = draw(_NAMES)
    shots: dict[str, list[list[tuple[int, tuple[int, int, int, int]]]]] = {}
    for split in SPLITS:
        objects = st.lists(st.tuples(st.integers(0, len(classes) - 1), boxes()), min_size=0, max_size=3, unique=True)
        shots[split] = draw(st.lists(objects, min_size=1, max_size=2))
    shots["train"][0] = [(number, draw(boxes())) for number in range(len(classes))]
    return classes, shots


@contextmanager
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def detections(objects, masks=None):
    made = sv.Detections(
        np.array([box for _, box in objects], np.float32).reshape(-1, 4),
        class_id=np.array([label for label, _ in objects], int),
    )
    if masks is not None:
        made.mask = masks
    return made


def datasets(root: Path, classes, shots, masked=None):
    """A data set of supervision for each split, of pictures elsewhere. masked: masks (N, H, W) of objects."""
    number = 0
    for split, pictures in shots.items():
        annotations = {}
        for objects in pictures:
            path = put(root / "elsewhere" / f"{number}.jpg", number)
            annotations[str(path)] = detections(objects, masked(objects) if masked and objects else None)
            number += 1
        yield split, sv.DetectionDataset(classes, list(annotations), annotations)


def as_made(classes, shots, kind=BOX):
    number, made = 0, {}
    for split, pictures in shots.items():
        for objects in pictures:
            made[f"{number}.jpg"] = (
                split,
                sorted((classes[label], tuple(map(float, box)), kind) for label, box in objects),
            )
            number += 1
    return made


def as_read(data, digits=3):
    assert data.faults == ()
    assert data.remarks.total() == 0, list(map(str, data.remarks.rows()))

    def kind(each) -> str:
        return CROWD if each.crowd else OUTLINE if each.mask is not None else BOX

    def box(each) -> tuple[float, ...]:
        return tuple(round(side, digits) for side in vars(each.box).values())

    return {
        Path(sample.name).name: (
            sample.split,
            sorted((data.classes[each.label], box(each), kind(each)) for each in sample.objects),
        )
        for sample in data.samples
    }


@WRITTEN
@given(worlds())
def test_coco(world):
    classes, shots = world
    with folder() as base:
        root, image, annotation = base / "data", 1, 1
        for split, made in datasets(base, classes, shots):
            place = root / FOLDERS[split]
            image, annotation = made.as_coco(
                str(place),
                str(place / "_annotations.coco.json"),
                starting_image_id=image,
                starting_annotation_id=annotation,
            )
        data = read_dataset(root, task="detection")
        assert list(data.classes) == classes
        assert as_read(data) == as_made(classes, shots)


def rings(objects) -> np.ndarray:
    """(N, H, W): each box with a hole, which supervision writes as run lengths, and as a crowd."""
    masks = np.zeros((len(objects), HEIGHT, WIDTH), bool)
    for mask, (_, (left, top, right, bottom)) in zip(masks, objects, strict=True):
        mask[top:bottom, left:right] = True
        mask[top + 1, left + 1] = False
    return masks


@WRITTEN
@given(worlds())
def test_coco_with_run_lengths(world):
    classes, shots = world
    with folder() as base:
        root = base / "data"
        for split, made in datasets(base, classes, shots, rings):
            made.as_coco(str(root / FOLDERS[split]), str(root / FOLDERS[split] / "_annotations.coco.json"))
        data = read_dataset(root, task="detection")
        assert as_read(data) == as_made(classes, shots, CROWD)
        for sample in data.samples:
            for each in sample.objects:
                box = tuple(round(side) for side in vars(each.box).values())
                assert (each.mask.load() == rings([(0, box)])[0]).all()


@WRITTEN
@given(worlds())
def test_yolo(world):
    """data.yaml without the folders of the splits, as supervision writes it."""
    classes, shots = world
    with folder() as base:
        root = base / "data"
        for split, made in datasets(base, classes, shots):
            place = root / FOLDERS[split]
            made.as_yolo(str(place / "images"), str(place / "labels"), str(root / "data.yaml"))
        data = read_dataset(root, task="detection")
        assert list(data.classes) == classes
        assert as_read(data, 1) == as_made(classes, shots)


@WRITTEN
@given(worlds())
def test_voc(world):
    classes, shots = world
    with folder() as base:
        root = base / "data"
        for split, made in datasets(base, classes, shots):
            made.as_pascal_voc(str(root / FOLDERS[split]), str(root / FOLDERS[split]))
        data = read_dataset(root, task="detection")
        assert set(data.classes) == {
            classes[label] for each in shots.values() for objects in each for label, _ in objects
        }
        assert as_read(data) == as_made(classes, shots)


@WRITTEN
@given(worlds())
def test_labelme(world):
    classes, shots = world
    with folder() as base:
        root = base / "data"
        for split, made in datasets(base, classes, shots):
            made.as_labelme(str(root / FOLDERS[split]), str(root / FOLDERS[split]))
        assert as_read(read_dataset(root, task="detection")) == as_made(classes, shots)


@WRITTEN
@given(worlds())
def test_folders_of_classes(world):
    classes, shots = world
    with folder() as base:
        made, number = {}, 0
        for split, pictures in shots.items():
            labels = {}
            for objects in pictures if split != "train" else [[(label, None)] for label in range(len(classes))]:
                label = objects[0][0] if objects else 0
                labels[str(put(base / f"elsewhere/{number}.jpg", number))] = label
                made[f"{number}.jpg"] = (split, classes[label])
                number += 1
            found = {path: sv.Classifications(np.array([label])) for path, label in labels.items()}
            sv.ClassificationDataset(classes, list(found), found).as_folder_structure(
                str(base / "data" / FOLDERS[split])
            )
        data = read_dataset(base / "data", task="classification")
        assert data.remarks.total() == 0
        assert {Path(s.name).name: (s.split, data.classes[s.label]) for s in data.samples} == made
