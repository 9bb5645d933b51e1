"""Data sets made at random, written by the library datumaro, are read back equal.

It needs older packages than the rest, so it has an environment of its own: make test-datumaro.
"""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("datumaro", reason="has an environment of its own: make test-datumaro")
from datumaro.components.annotation import AnnotationType as Kinds
from datumaro.components.annotation import Bbox, Label, LabelCategories, Mask, MaskCategories, Polygon
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.object_data import SIZE, put
from trunkline.training.data.read import read_dataset

WIDTH, HEIGHT = SIZE
SPLITS = ("train", "val", "test")
WRITTEN = settings(max_examples=int(os.environ.get("TRUNKLINE_TEST_EXAMPLES", "25")), deadline=None,
                   suppress_health_check=[HealthCheck.too_slow])  # fmt: skip

_LETTERS = st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZäöüß中文é0123456789-_")
_NAMES = st.lists(
    st.text(_LETTERS, min_size=2, max_size=9)
    .filter(lambda name: name[0].isalpha())
    .filter(lambda name: name.lower() not in ("void", "ignore", "ignored", "background")),
    min_size=2, max_size=4, unique_by=str.casefold,
)  # fmt: skip
Thing = tuple[int, tuple[int, int, int, int], str]
BOX, OUTLINE, PIXELS = "box", "outline", "pixels"


@st.composite
def things(draw: st.DrawFn, classes: int, kinds: tuple[str, ...]) -> Thing:
    left, top = draw(st.integers(0, WIDTH - 4)), draw(st.integers(0, HEIGHT - 4))
    box = left, top, draw(st.integers(left + 3, WIDTH)), draw(st.integers(top + 3, HEIGHT))
    return draw(st.integers(0, classes - 1)), box, draw(st.sampled_from(kinds))


@st.composite
def worlds(draw: st.DrawFn, kinds: tuple[str, ...] = (BOX,)):
    """Names of classes; by split, the objects of each picture. Each class and split occurs."""
    classes = draw(_NAMES)
    one = st.lists(things(len(classes), kinds), max_size=3, unique_by=lambda thing: thing[:2])
    shots = {split: draw(st.lists(one, min_size=1, max_size=2)) for split in SPLITS}
    whole = draw(things(1, kinds))
    shots["train"][0] = [(number, *whole[1:]) for number in range(len(classes))]
    return classes, shots


@contextmanager
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def rectangle(box) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def shape(thing: Thing, number: int):
    label, (left, top, right, bottom), kind = thing
    if kind == OUTLINE:
        return Polygon([left, top, right, top, right, bottom, left, bottom], label=label, id=number, group=number)
    if kind == PIXELS:
        return Mask(rectangle(thing[1]), label=label, id=number, group=number)
    return Bbox(left, top, right - left, bottom - top, label=label, id=number, group=number)


def items(base: Path, shots, made) -> list[DatasetItem]:
    """made: the annotations of a picture, of its objects."""
    found = []
    for split, pictures in shots.items():
        for objects in pictures:
            number = len(found)
            picture = Image.from_file(path=str(put(base / f"elsewhere/p{number}.jpg", number)))
            found.append(DatasetItem(id=f"p{number}", subset=split, media=picture, annotations=made(objects)))
    return found


def exported(base: Path, classes, shots, form: str, **more) -> Path:
    numbers = iter(range(1, 1000))

    def shapes(objects):
        return [shape(each, next(numbers)) for each in objects]

    data = Dataset.from_iterable(items(base, shots, shapes), categories=classes)
    data.export(str(base / "data"), form, save_media=True, **more)
    return base / "data"


def as_made(classes, shots, outlined=(OUTLINE, PIXELS)):
    pictures = [(split, objects) for split, each in shots.items() for objects in each]
    return {
        f"p{number}.jpg": (
            split,
            sorted((classes[label], tuple(map(float, box)), kind in outlined) for label, box, kind in objects),
        )
        for number, (split, objects) in enumerate(pictures)
    }


def as_read(data, digits: int = 1, but: tuple[str, ...] = ()):
    """but: kinds of remarks that there may be."""
    assert data.faults == ()
    assert {kind.value for kind in data.remarks.counts} <= set(but), list(map(str, data.remarks.rows()))
    for sample in data.samples:
        for each in sample.objects:
            if each.mask is not None:
                assert (each.mask.load() == rectangle([round(side) for side in vars(each.box).values()])).all()
    return {
        Path(sample.name).name: (
            sample.split,
            sorted(
                (
                    data.classes[each.label],
                    tuple(round(side, digits) for side in vars(each.box).values()),
                    each.mask is not None,
                )
                for each in sample.objects
            ),
        )
        for sample in data.samples
    }


@WRITTEN
@given(worlds((BOX, OUTLINE)))
def test_coco(world):
    classes, shots = world
    with folder() as base:
        data = read_dataset(exported(base, classes, shots, "coco_instances"), task="detection")
        assert list(data.classes) == classes
        assert as_read(data) == as_made(classes, shots)


@WRITTEN
@given(worlds())
def test_voc(world):
    classes, shots = world
    with folder() as base:
        data = read_dataset(exported(base, classes, shots, "voc_detection"), task="detection")
        assert as_read(data) == as_made(classes, shots)


@WRITTEN
@given(worlds())
def test_yolo_of_ultralytics(world):
    classes, shots = world
    with folder() as base:
        data = read_dataset(exported(base, classes, shots, "yolo_ultralytics"), task="detection")
        assert list(data.classes) == classes
        assert as_read(data) == as_made(classes, shots)


@WRITTEN
@given(worlds())
def test_yolo_of_darknet(world):
    """Its lists name pictures below data/, which is not there."""
    classes, shots = world
    shots = {"train": [objects for each in shots.values() for objects in each]}
    with folder() as base:
        data = read_dataset(exported(base, classes, shots, "yolo"), task="detection")
        assert list(data.classes) == classes
        assert as_read(data, but=("name-path-end",)) == as_made(classes, shots)


@WRITTEN
@given(worlds((BOX, OUTLINE)))
def test_cvat(world):
    classes, shots = world
    with folder() as base:
        data = read_dataset(exported(base, classes, shots, "cvat"), task="detection")
        assert as_read(data) == as_made(classes, shots)


@WRITTEN
@given(worlds())
def test_folders_of_classes(world):
    classes, shots = world
    shots = {split: [each[:1] or [(0, (0, 0, 3, 3), BOX)] for each in pictures] for split, pictures in shots.items()}
    shots["train"] = [[(number, (0, 0, 3, 3), BOX)] for number in range(len(classes))]
    with folder() as base:
        made = items(base, shots, lambda objects: [Label(objects[0][0])])
        data = Dataset.from_iterable(made, categories=classes)
        data.export(str(base / "data"), "imagenet_with_subset_dirs", save_media=True)
        data = read_dataset(base / "data", task="classification")
        assert data.remarks.total() == 0, list(map(str, data.remarks.rows()))
        found = {Path(sample.name).name: (sample.split, data.classes[sample.label]) for sample in data.samples}
        assert found == {f"{item.id}.jpg": (item.subset, classes[item.annotations[0].label]) for item in made}


@WRITTEN
@given(worlds((PIXELS,)))
def test_voc_segmentation(world):
    """Value 0 is the background, and a later object lies over those before it."""
    classes, shots = world
    nothing = [(0, (0, 0, 3, 3), PIXELS)]  # of pictures without masks datumaro writes nothing
    shots = {split: [objects or nothing for objects in pictures] for split, pictures in shots.items()}
    with folder() as base:
        made = items(base, shots, lambda objects: [
            Mask(rectangle(box), label=label + 1, id=number, group=number, z_order=number)
            for number, (label, box, _) in enumerate(objects, 1)
        ])  # fmt: skip
        labels = LabelCategories.from_iterable(["background", *classes])
        colours = MaskCategories.generate(len(classes) + 1)
        data = Dataset.from_iterable(made, categories={Kinds.label: labels, Kinds.mask: colours})
        data.export(str(base / "data"), "voc_segmentation", save_media=True, label_map="source")
        data = read_dataset(base / "data", task="segmentation")
        assert data.remarks.total() == 0, list(map(str, data.remarks.rows()))
        pictures = [(split, objects) for split, each in shots.items() for objects in each]
        assert len(data.samples) == len(pictures)
        for sample in data.samples:
            split, objects = pictures[int(Path(sample.name).stem[1:])]
            assert sample.split == split
            truth = np.full((HEIGHT, WIDTH), "background", object)
            for label, box, _ in objects:
                truth[rectangle(box) > 0] = classes[label]
            assert (np.array(data.classes, object)[sample.mask.load(SIZE)] == truth).all()
