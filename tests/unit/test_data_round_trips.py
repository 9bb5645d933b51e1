"""Data sets made at random, written by the conventions of their formats and nothing of the readers, are read back."""

import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("hypothesis", reason="needs the dev extra: pip install -e '.[dev]'")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.object_data import SIZE, put
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.read import read_dataset

WIDTH, HEIGHT = SIZE
VOID = {"void", "ignore", "ignored", "unlabelled", "unlabeled"}
BACKGROUND = "background"
READ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

_LETTERS = st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp"), exclude_characters="/\\")
_WORDS = st.text(_LETTERS, min_size=1, max_size=12).map(str.strip).filter(lambda word: word and word[0] != ".")
_CLASSES = st.lists(
    _WORDS.filter(lambda w: w.lower() not in VOID | {BACKGROUND}), min_size=2, max_size=4, unique=True
)
_SUFFIXES = st.sampled_from((".jpg", ".JPG", ".jpeg", ".jfif"))
_SPLITS = st.sampled_from(("train", "val", "test"))


@dataclass(frozen=True)
class Thing:
    """box: (left, top, right, bottom) in pixels, right and bottom beyond it."""

    label: int
    box: tuple[int, int, int, int]
    crowd: bool
    outlined: bool

    @property
    def corners(self) -> list[int]:
        left, top, right, bottom = self.box
        return [left, top, right, top, right, bottom, left, bottom]


@dataclass(frozen=True)
class Shot:
    """A picture. word, suffix: of its name."""

    word: str
    suffix: str
    split: str
    label: int
    things: tuple[Thing, ...]

    def named(self, number: int) -> str:
        return f"{number}{self.word}{self.suffix}"


@st.composite
def _things(draw: st.DrawFn, classes: int) -> Thing:
    left, top = draw(st.integers(0, WIDTH - 2)), draw(st.integers(0, HEIGHT - 2))
    right, bottom = draw(st.integers(left + 2, WIDTH)), draw(st.integers(top + 2, HEIGHT))
    label = draw(st.integers(0, classes - 1))
    return Thing(label, (left, top, right, bottom), draw(st.booleans()), draw(st.booleans()))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[str], list[Shot]]:
    """Names of classes, and pictures; each class occurs."""
    classes = draw(_CLASSES)
    count = draw(st.integers(len(classes), 5))
    shots = []
    for number in range(count):
        things = draw(st.lists(_things(len(classes)), max_size=3, unique_by=lambda thing: (thing.label, thing.box)))
        label = number if number < len(classes) else draw(st.integers(0, len(classes) - 1))
        shots.append(Shot(draw(_WORDS), draw(_SUFFIXES), draw(_SPLITS), label, tuple(things)))
    first = Thing(0, (1, 1, 9, 9), crowd=False, outlined=False)
    if not any(shot.things for shot in shots):
        shots[0] = Shot(shots[0].word, shots[0].suffix, shots[0].split, shots[0].label, (first,))
    return classes, shots


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def as_read(data: Dataset) -> dict[str, tuple[str, list[tuple[str, tuple[float, ...], bool, bool]]]]:
    """Split, and objects by class, box, crowd and whether there is an outline, of each picture."""
    assert data.faults == ()
    assert data.remarks.total() == 0, list(map(str, data.remarks.rows()))
    return {
        Path(sample.name).name: (
            sample.split,
            sorted(
                (
                    data.classes[each.label],
                    tuple(
                        round(side, 4) for side in (each.box.x_min, each.box.y_min, each.box.x_max, each.box.y_max)
                    ),
                    each.crowd,
                    each.mask is not None,
                )
                for each in sample.objects or ()
            ),
        )
        for sample in data.samples
    }


def as_made(
    classes: list[str], shots: list[Shot], thing: Callable[[Thing], tuple[bool, bool]]
) -> dict[str, tuple[str, list[tuple[str, tuple[float, ...], bool, bool]]]]:
    """thing: crowd, and whether it has an outline, in the format."""
    return {
        shot.named(number): (
            shot.split,
            sorted((classes[each.label], tuple(map(float, each.box)), *thing(each)) for each in shot.things),
        )
        for number, shot in enumerate(shots)
    }


@READ
@given(worlds())
def test_coco(world):
    """[x, y, width, height], ids of categories with gaps, a file for each split, as COCO 2017 has them."""
    classes, shots = world
    with folder() as root:
        ids = [3 * number + 1 for number in range(len(classes))]
        categories = [
            {"id": number, "name": name, "supercategory": ""} for number, name in zip(ids, classes, strict=True)
        ]
        for split in {shot.split for shot in shots}:
            images, annotations = [], []
            for number, shot in enumerate(shots):
                if shot.split != split:
                    continue
                put(root / f"{split}2017" / shot.named(number), number)
                images.append({"id": number, "file_name": shot.named(number), "width": WIDTH, "height": HEIGHT})
                for each in shot.things:
                    left, top, right, bottom = each.box
                    annotations.append(
                        {
                            "id": 1 + len(annotations),
                            "image_id": number,
                            "category_id": ids[each.label],
                            "bbox": [left, top, right - left, bottom - top],
                            "area": (right - left) * (bottom - top),
                            "iscrowd": int(each.crowd),
                            "segmentation": [each.corners] if each.outlined else [],
                        }
                    )
            document = {"images": images, "annotations": annotations, "categories": categories}
            path = root / f"annotations/instances_{split}2017.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(document), encoding="utf-8")
        data = read_dataset(root, task="detection")
        assert list(data.classes) == classes
        assert as_read(data) == as_made(classes, shots, lambda each: (each.crowd, each.outlined))
        for sample in data.samples:
            for each in sample.objects:
                if each.mask is not None:
                    left, top, right, bottom = (round(side) for side in vars(each.box).values())
                    assert each.mask.load()[top:bottom, left:right].all()


@READ
@given(worlds())
def test_voc(world):
    """Boxes count pixels from 1 and include both ends; lists in ImageSets/Main."""
    classes, shots = world
    with folder() as root:
        lists: dict[str, list[str]] = {}
        for number, shot in enumerate(shots):
            name = shot.named(number)
            put(root / "JPEGImages" / name, number)
            objects = "".join(
                f"<object><name>{escape(classes[each.label])}</name><difficult>{int(each.crowd)}</difficult><bndbox>"
                f"<xmin>{each.box[0] + 1}</xmin><ymin>{each.box[1] + 1}</ymin><xmax>{each.box[2]}</xmax>"
                f"<ymax>{each.box[3]}</ymax></bndbox></object>"
                for each in shot.things
            )
            text = (
                f"<annotation><filename>{escape(name)}</filename><size><width>{WIDTH}</width>"
                f"<height>{HEIGHT}</height><depth>3</depth></size>{objects}</annotation>"
            )
            path = root / "Annotations" / f"{number}{shot.word}.xml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            lists.setdefault(shot.split, []).append(f"{number}{shot.word}")
        (root / "ImageSets/Main").mkdir(parents=True)
        for split, stems in lists.items():
            (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(stems) + "\n", encoding="utf-8")
        data = read_dataset(root, task="detection")
        assert set(data.classes) == {classes[each.label] for shot in shots for each in shot.things}
        assert as_read(data) == as_made(classes, shots, lambda each: (each.crowd, False))


@READ
@given(worlds())
def test_yolo(world):
    """Middle and sides in shares of the picture, or corners; data.yaml as Ultralytics writes it."""
    classes, shots = world
    with folder() as root:
        for number, shot in enumerate(shots):
            put(root / f"images/{shot.split}" / shot.named(number), number)
            lines = []
            for each in shot.things:
                left, top, right, bottom = each.box
                if each.outlined:
                    pairs = zip(each.corners[::2], each.corners[1::2], strict=True)
                    values = [share for x, y in pairs for share in (x / WIDTH, y / HEIGHT)]
                else:
                    middle = (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT
                    values = [*middle, (right - left) / WIDTH, (bottom - top) / HEIGHT]
                lines.append(" ".join([str(each.label), *map(repr, values)]))
            path = root / f"labels/{shot.split}/{number}{shot.word}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines), encoding="utf-8")
        splits = [f"{split}: images/{split}" for split in sorted({shot.split for shot in shots})]
        names = [f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in enumerate(classes)]
        (root / "data.yaml").write_text("\n".join(["path: .", *splits, "names:", *names]), encoding="utf-8")
        data = read_dataset(root, task="detection")
        assert list(data.classes) == classes
        assert as_read(data) == as_made(classes, shots, lambda each: (False, each.outlined))


def labels_of(data: Dataset) -> dict[str, tuple[str, str]]:
    assert data.faults == ()
    assert data.remarks.total() == 0, list(map(str, data.remarks.rows()))
    return {sample.name: (sample.split, data.classes[sample.label]) for sample in data.samples}


@READ
@given(worlds())
def test_csv(world):
    classes, shots = world
    with folder() as root:
        made = {}
        with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["file", "label", "split"])
            for number, shot in enumerate(shots):
                name = f"images/{shot.named(number)}"
                put(root / name, number)
                rows.writerow([name, classes[shot.label], shot.split])
                made[name] = (shot.split, classes[shot.label])
        assert labels_of(read_dataset(root)) == made


@READ
@given(worlds())
def test_folders_of_classes(world):
    classes, shots = world
    with folder() as root:
        made = {}
        for number, shot in enumerate(shots):
            name = f"{shot.split}/{classes[shot.label]}/{shot.named(number)}"
            put(root / name, number)
            made[name] = (shot.split, classes[shot.label])
        assert labels_of(read_dataset(root, task="classification")) == made


@READ
@given(worlds())
def test_pairs(world):
    """Each picture with the first one of its class, as the same, and the first ones as different."""
    _, shots = world
    with folder() as root:
        first: dict[int, str] = {}
        with (root / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["a", "b", "same"])
            for number, shot in enumerate(shots):
                put(root / shot.named(number), number)
                other = first.setdefault(shot.label, shot.named(number))
                rows.writerow([other, shot.named(number), 1])
            rows.writerows([one, other, 0] for one in first.values() for other in first.values() if one != other)
        data = read_dataset(root, task="similarity")
        found = {sample.name: data.classes[sample.label] for sample in data.samples}
        assert found == {shot.named(number): first[shot.label] for number, shot in enumerate(shots)}
        assert data.remarks.total() == 0


@READ
@given(worlds(), st.permutations(range(255)), st.sampled_from(("L", "P", "1_mask")))
def test_masks(world, values, form):
    """Values in any order, classes in the order of their values."""
    classes, shots = world
    with folder() as root:
        ids = sorted(values[: len(classes)])
        with (root / "classes.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("class_id", "class_name"), *zip(ids, classes, strict=True)])
        made = {}
        for number, shot in enumerate(shots):
            labels = np.zeros((HEIGHT, WIDTH), np.uint8)
            for each in shot.things:
                left, top, right, bottom = each.box
                labels[top:bottom, left:right] = each.label
            put(root / f"{shot.split}/images" / shot.named(number), number)
            picture = Image.fromarray(np.array(ids, np.uint8)[labels])
            if form == "P":
                picture.putpalette(list(range(256)) * 3)
            end = "_mask" if form == "1_mask" else ""
            path = root / f"{shot.split}/masks/{number}{shot.word}{end}.png"
            path.parent.mkdir(exist_ok=True)
            picture.save(path)
            made[shot.named(number)] = (shot.split, labels)
        data = read_dataset(root, task="segmentation")
        assert list(data.classes) == classes
        assert {remark.kind.value for remark in data.remarks.rows()} == ({"mask-name"} if form == "1_mask" else set())
        found = {Path(sample.name).name: (sample.split, sample.mask.load(SIZE)) for sample in data.samples}
        assert found.keys() == made.keys()
        for name, (split, labels) in made.items():
            assert found[name][0] == split
            assert (found[name][1] == labels).all()
