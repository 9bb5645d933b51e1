"""Data sets written in another format: what is written reads back equal, and what cannot be held is said."""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("hypothesis", reason="needs the dev extra: pip install -e '.[dev]'")
pytest.importorskip("yaml", reason="needs the train extra: pip install -e '.[train]'")
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.object_data import annotation, coco, image, put, write_coco, write_lines
from tests.unit.test_data_round_trips import READ, Shot, Thing, as_made, as_read, folder, labels_of, worlds
from trunkline.cli.main import app
from trunkline.core.errors import DataInvalidError
from trunkline.training.convert import convert as converting
from trunkline.training.convert.convert import Converted
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset

SIDES = (64, 48)


def convert(source: Path, target: Path, form: str, *, link: bool = False) -> Converted:
    return converting.convert(source, target, form, lambda *_: None, link=link)


def write_world(root: Path, classes: list[str], shots: list[Shot]) -> None:
    """COCO's JSON, written by nothing of the writers."""
    categories = [{"id": 5 * n + 2, "name": name} for n, name in enumerate(classes)]
    for split in {shot.split for shot in shots}:
        images, annotations = [], []
        for number, shot in enumerate(shots):
            if shot.split == split:
                put(root / split / shot.named(number), number)
                images.append(image(number, shot.named(number)))
                for each in shot.things:
                    left, top, right, bottom = each.box
                    box, lines = (left, top, right - left, bottom - top), [each.corners] if each.outlined else []
                    annotations.append(
                        annotation(len(annotations), number, box, 5 * each.label + 2, segmentation=lines)
                        | {"iscrowd": int(each.crowd)}
                    )
        write_coco(root / f"annotations/instances_{split}.json", images, annotations, categories)


def kept(shots: list[Shot], what: Callable[[Thing], bool]) -> list[Shot]:
    return [replace(shot, things=tuple(filter(what, shot.things))) for shot in shots]


def kinds(made: Converted) -> dict[str, int]:
    return {kind.value: count for kind, count in made.remarks.counts.items()}


@READ
@given(worlds())
def test_coco_reads_back_equal(world):
    classes, shots = world
    with folder() as root:
        write_world(root / "in", classes, shots)
        made = convert(root / "in", root / "out", "coco")
        data = read_dataset(root / "out", task="detection")
        assert list(data.classes) == classes
        assert as_read(data) == as_made(classes, shots, lambda each: (each.crowd, each.outlined))
        assert made.remarks.total() == 0
        before = {sample.name: sample for sample in read_dataset(root / "in", task="detection").samples}
        for sample in data.samples:
            same = before[sample.name]
            assert sample.encoded() == same.encoded()
            outlines = [(one.mask, other.mask) for one, other in zip(sample.objects, same.objects, strict=True)]
            assert all(one == other for one, other in outlines)


@READ
@given(worlds())
def test_yolo_reads_back_equal(world):
    """But for crowds, which are left out with a remark each."""
    classes, shots = world
    with folder() as root:
        write_world(root / "in", classes, shots)
        made = convert(root / "in", root / "out", "yolo")
        data = read_dataset(root / "out", task="detection")
        assert list(data.classes) == classes
        left = kept(shots, lambda each: not each.crowd)
        assert as_read(data) == as_made(classes, left, lambda each: (False, each.outlined))
        crowds = sum(each.crowd for shot in shots for each in shot.things)
        assert kinds(made) == ({"not-held": crowds} if crowds else {})
        assert made.remarks.left_out["object"] == crowds
        assert made.objects == sum(len(shot.things) for shot in left)


@READ
@given(worlds())
def test_voc_reads_back_equal(world):
    """But for outlines and classes without objects."""
    classes, shots = world
    with folder() as root:
        write_world(root / "in", classes, shots)
        made = convert(root / "in", root / "out", "voc")
        data = read_dataset(root / "out", task="detection")
        assert set(data.classes) == {classes[each.label] for shot in shots for each in shot.things}
        assert as_read(data) == as_made(classes, shots, lambda each: (each.crowd, False))
        outlined = sum(each.outlined for shot in shots for each in shot.things)
        assert kinds(made).get("not-held", 0) == outlined + (list(data.classes) != classes)


@READ
@given(worlds(), st.booleans())
def test_folders_read_back_equal(world, split):
    classes, shots = world
    with folder() as root:
        rows = ["file,label,split" if split else "file,label"]
        made = {}
        (root / "in").mkdir()
        for number, shot in enumerate(shots):
            put(root / f"in/{number}.jpg", number)
            name = classes[shot.label]
            quoted = '"' + name.replace('"', '""') + '"'
            rows.append(f"{number}.jpg,{quoted}" + (f",{shot.split}" if split else ""))
            below = f"{shot.split}/" if split else ""
            made[f"{below}{name}/{number}.jpg"] = (shot.split if split else "", name)
        (root / "in/labels.csv").write_text("\n".join(rows), encoding="utf-8")
        convert(root / "in", root / "out", "folders")
        assert labels_of(read_dataset(root / "out", task="classification")) == made


@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_data_without_splits_stays_without(tmp_path, form):
    write_coco(tmp_path / "in/all.json", [image(1, "1.jpg")], [annotation(1, 1), annotation(2, 1, (1, 1, 9, 9), 9)])
    put(tmp_path / "in/1.jpg")
    convert(tmp_path / "in", tmp_path / "out", form)
    (sample,) = read_dataset(tmp_path / "out", task="detection").samples
    assert sample.split == ""
    assert len(sample.objects) == 2
    assert check_dataset(read_dataset(tmp_path / "out", task="detection"), workers=1).remarks == ()


@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_some_without_a_split_go_to_training(tmp_path, form):
    images = "".join(f'<image id="{n}" name="{n}.jpg" width="64" height="48"{more}><box label="cat" xtl="1" ytl="1" '
                     f'xbr="9" ybr="9"/></image>' for n, more in ((0, ""), (1, ' subset="test"')))  # fmt: skip
    write_lines(tmp_path / "in/annotations.xml", f"<annotations>{images}</annotations>")
    for number in range(2):
        put(tmp_path / f"in/{number}.jpg", number)
    made = convert(tmp_path / "in", tmp_path / "out", form)
    assert kinds(made) == {"split-given": 1}
    samples = read_dataset(tmp_path / "out", task="detection").samples
    assert [(Path(sample.name).name, sample.split) for sample in samples] == [("0.jpg", "train"), ("1.jpg", "test")]


@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_pictures_of_one_name_get_names_of_their_own(tmp_path, form):
    for split, name in (("train", "0.jpg"), ("train", "0.png"), ("val", "0.JPG")):
        put(tmp_path / f"in/images/{split}/{name}", len(split) + len(name))
        write_lines(tmp_path / f"in/labels/{split}/0.txt", "0 0.5 0.5 0.5 0.5")
    (tmp_path / "in/images/train/0.png").write_bytes((tmp_path / "in/images/train/0.jpg").read_bytes())
    write_lines(tmp_path / "in/data.yaml", "train: images/train", "val: images/val", "names: [cat]")
    made = convert(tmp_path / "in", tmp_path / "out", form)
    assert kinds(made) == {"renamed": 2 if form == "voc" else 1}  # VOC has one folder for all splits
    data = read_dataset(tmp_path / "out", task="detection")
    assert len(data.samples) == 3
    assert data.remarks.total() == 0
    assert all(len(sample.objects) == 1 for sample in data.samples)


def test_outlines_that_yolo_cannot_hold(tmp_path):
    square, other = [10, 10, 30, 10, 30, 26, 10, 26], [40, 30, 50, 30, 50, 40]
    mask = {"size": [48, 64], "counts": [0, 48, 3024]}
    several = annotation(1, 1, (10, 10, 40, 30), segmentation=[square, other])
    pixels = annotation(2, 1, (0, 0, 1, 48), segmentation=mask)
    wider = annotation(3, 1, (10, 10, 30, 30), segmentation=[square])
    coco(tmp_path / "in", several, pixels, wider, annotation(4, 2), annotation(5, 2))
    made = convert(tmp_path / "in", tmp_path / "out", "yolo")
    assert kinds(made) == {"not-held": 4}
    assert made.remarks.left_out == {"object": 1}
    data = read_dataset(tmp_path / "out", task="detection")
    assert [[each.mask is not None for each in sample.objects] for sample in data.samples] == [
        [False, False, True],
        [False],
    ]


def test_pixels_are_run_lengths_in_coco(tmp_path):
    mask = '<mask label="cat" rle="1,2,3" left="4" top="5" width="3" height="2"/>'
    text = f'<annotations><image id="0" name="0.jpg" width="64" height="48">{mask}</image></annotations>'
    write_lines(tmp_path / "in/annotations.xml", text)
    put(tmp_path / "in/0.jpg")
    convert(tmp_path / "in", tmp_path / "out", "coco")
    (before,), (after,) = (read_dataset(tmp_path / name, task="detection").samples for name in ("in", "out"))
    assert (before.objects[0].mask.load() == after.objects[0].mask.load()).all()
    assert after.objects[0].mask.load().sum() == 2


def test_other_tools_read_the_same_masks(tmp_path):
    """By the API of COCO."""
    api = pytest.importorskip("faster_coco_eval")
    square, other = [10, 10, 30, 10, 30, 26, 10, 26], [40, 30, 50, 30, 50, 40]
    pixels = {"size": [48, 64], "counts": [5, 48, 3019]}
    coco(tmp_path / "in", annotation(1, 1, (10, 10, 40, 30), segmentation=[square, other]),
         annotation(2, 2, (0, 0, 2, 48), segmentation=pixels, iscrowd=1))  # fmt: skip
    convert(tmp_path / "in", tmp_path / "out", "coco")
    read = api.COCO(str(tmp_path / "out/annotations/instances_train.json"))
    truth = [each for sample in read_dataset(tmp_path / "in", task="detection").samples for each in sample.objects]
    found = read.loadAnns(read.getAnnIds())
    assert [each["area"] for each in found] == [each.mask.load().sum() for each in truth]
    assert [each["iscrowd"] for each in found] == [0, 1]
    for one, each in zip(found, truth, strict=True):
        assert (read.annToMask(one) == each.mask.load()).all()


def test_thin_boxes_are_left_out_of_voc(tmp_path):
    coco(tmp_path / "in", annotation(1, 1, (10, 10, 1, 9)), annotation(2, 2))
    made = convert(tmp_path / "in", tmp_path / "out", "voc")
    assert (made.objects, made.remarks.left_out["object"]) == (1, 1)
    assert check_dataset(read_dataset(tmp_path / "out", task="detection"), workers=1).remarks == ()


def test_odd_names_of_pictures_in_voc(tmp_path):
    """Lists of VOC may have a 1 or -1 behind a name, and a suffix."""
    names = ["cat 1.jpg", "cat -1.jpg", "a.jpg.png", "b & c.jpg", "..hidden.jpg", "50%20x.jpg", "a\\b.jpg"]
    for number, name in enumerate(names):
        put(tmp_path / "in" / name, number)
    rows = [json.dumps({"file_name": name, "objects": {"bbox": [[1, 1, 9, 9]], "categories": [0]}}) for name in names]
    write_lines(
        tmp_path / "in/train/metadata.jsonl", *[row.replace('"file_name": "', '"file_name": "../') for row in rows]
    )
    made = convert(tmp_path / "in", tmp_path / "out", "voc")
    assert kinds(made) == {"renamed": 2}
    data = read_dataset(tmp_path / "out", task="detection")
    assert len(data.samples) == len(names)
    assert data.remarks.total() == 0
    assert {sample.split for sample in data.samples} == {"train"}


def test_broken_pictures_and_outlines_are_left_out(tmp_path):
    root = coco(tmp_path / "in", annotation(1, 1), annotation(2, 2))
    (root / "images/1.jpg").write_bytes(b"no picture")
    made = convert(root, tmp_path / "out", "coco")
    assert made.remarks.left_out == {"picture": 1}
    assert made.splits == {"train": 1}


def test_links(tmp_path):
    root = coco(tmp_path / "in")
    convert(root, tmp_path / "out", "yolo", link=True)
    assert (tmp_path / "out/images/train/1.jpg").samefile(root / "images/1.jpg")
    convert(root, tmp_path / "copy", "yolo")
    assert not (tmp_path / "copy/images/train/1.jpg").samefile(root / "images/1.jpg")


def test_links_where_there_can_be_none(tmp_path, monkeypatch):
    """Another file system, which a test has not: the call of the system fails as it does there."""
    root = coco(tmp_path / "in")

    def refuse(*_):
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(DataInvalidError, match="without --link it is copied"):
        convert(root, tmp_path / "out", "yolo", link=True)
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("full", "is no empty folder"),
        ("file", "is no empty folder"),
        ("link", "is no empty folder"),
        ("in/x", "lies in"),
    ],
)
def test_targets_that_are_refused(tmp_path, place, reason):
    root = coco(tmp_path / "in")
    write_lines(tmp_path / "full/a.txt", "a")
    write_lines(tmp_path / "file", "a")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataInvalidError, match=reason):
        convert(root, tmp_path / place, "coco")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_target_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    convert(coco(tmp_path / "in"), tmp_path / "out", "coco")
    assert len(read_dataset(tmp_path / "out").samples) == 2


def test_nothing_is_left_of_what_failed(tmp_path):
    """A picture that goes while they are written."""
    root = coco(tmp_path / "in")

    def remove(what: str, done: int, _: int) -> None:
        if what == "writing" and done == 1:
            (root / "images/2.jpg").unlink()

    with pytest.raises(DataInvalidError, match="cannot be read"):
        converting.convert(root, tmp_path / "deep/out", "coco", remove)
    assert list((tmp_path / "deep").iterdir()) == []


def refusal(source: Path, form: str) -> str:
    with pytest.raises(DataInvalidError) as caught:
        convert(source, source.parent / "out", form)
    return caught.value.message


def test_sources_that_are_refused(tmp_path):
    assert "no format 'x'" in refusal(tmp_path, "x")
    assert "pictures with boxes" in refusal(coco(tmp_path / "in"), "folders")
    for name in ("cat", "dog"):
        put(tmp_path / f"classes/{name}/0.jpg", len(name))
    assert "no objects" in refusal(tmp_path / "classes", "coco")
    same = write_lines(tmp_path / "same/labels.csv", "file,label", "0.jpg,a/b", "1.jpg,a_b")
    numbers = write_lines(tmp_path / "numbers/labels.csv", "file,weight", "0.jpg,1", "1.jpg,2")
    pairs = write_lines(tmp_path / "pairs/pairs.csv", "a,b,same", "0.jpg,1.jpg,0")
    for path in (same, numbers, pairs):
        put(path.parent / "0.jpg", 0)
        put(path.parent / "1.jpg", 1)
    assert "rename them" in refusal(same.parent, "folders")
    assert "no classes" in refusal(numbers.parent, "folders")
    assert "what is alike" in refusal(pairs.parent, "folders")
    assert not (tmp_path / "out").exists()


def test_names_of_pictures_in_folders_and_in_no_file(tmp_path):
    """The same name in two classes stays; a picture inside of another file gets a suffix by its bytes."""
    for name in ("cat", "dog"):
        put(tmp_path / f"in/{name}/0.jpg", len(name))
    assert kinds(convert(tmp_path / "in", tmp_path / "out", "folders")) == {}
    assert {sample.name for sample in read_dataset(tmp_path / "out").samples} == {"cat/0.jpg", "dog/0.jpg"}
    data = base64.b64encode((tmp_path / "in/cat/0.jpg").read_bytes()).decode()
    shape = {"label": "cat", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
    document = {"version": "5.0", "shapes": [shape], "imagePath": "gone.jpg", "imageData": data}
    write_lines(tmp_path / "inside/7.json", json.dumps(document))
    made = convert(tmp_path / "inside", tmp_path / "linked", "yolo", link=True)
    assert kinds(made) == {"embedded-picture": 1}
    (sample,) = read_dataset(tmp_path / "linked", task="detection").samples
    assert sample.name == "images/7.json.jpg"
    assert sample.encoded() == (tmp_path / "in/cat/0.jpg").read_bytes()


def test_names_of_classes_that_no_folder_has(tmp_path):
    write_lines(tmp_path / "in/labels.csv", "file,label", "0.jpg,a/b", "1.jpg,..", "2.jpg,c")
    for number in range(3):
        put(tmp_path / f"in/{number}.jpg", number)
    made = convert(tmp_path / "in", tmp_path / "out", "folders")
    assert kinds(made) == {"renamed": 2}
    assert read_dataset(tmp_path / "out").classes == ("_", "a_b", "c")


def test_the_command(tmp_path):
    root = coco(tmp_path / "in", annotation(1, 1, iscrowd=1), annotation(2, 2))
    run = CliRunner().invoke(app, ["data", "convert", str(root), str(tmp_path / "out"), "--to", "yolo"])
    assert run.exit_code == 0, run.output
    assert "yolo of coco, 2 pictures (2 train), 2 classes, 1 object" in run.output
    assert "1 remark, 1 object left out" in run.output
    run = CliRunner().invoke(app, ["data", "convert", str(root), str(tmp_path / "more"), "--to", "yolo", "--json"])
    document = json.loads(run.stdout)
    assert document["remark_counts"] == {"not-held": 1}
    assert document["splits"] == {"train": 2}
    assert document["classes"] == ["cat", "dog"]
    assert document["remarks"][0]["left_out"] == "object"
