"""labelme's JSON beside pictures: shapes as objects, odd files with a remark, hostile ones refused within bounds."""

import base64
import json
import os
from pathlib import Path

import pytest

pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")

from tests.unit.object_data import SIZE, coco, put
from trunkline.core.errors import DataInvalidError
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset
from trunkline.training.data.reading import limit_annotations

SQUARE = [[10, 10], [30, 10], [30, 26], [10, 26]]


def shape(label="cat", points=SQUARE, kind="polygon", **more) -> dict:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def write(root: Path, stem: str, *shapes: dict, name: str | None = None, picture: bool = True, **more) -> Path:
    """As labelme 5 writes it: keys in this order, the picture beside the file."""
    if picture:
        put(root / f"{stem}.jpg", sum(map(ord, stem)) % 20)
    name = name or f"{Path(stem).name}.jpg"
    document = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": name,
                "imageData": None, "imageHeight": SIZE[1], "imageWidth": SIZE[0], **more}  # fmt: skip
    path = root / f"{stem}.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def found(root: Path) -> list[tuple[str, str, tuple[float, ...], bool]]:
    data = read_dataset(root, task="detection")
    return [
        (sample.name, data.classes[each.label], tuple(vars(each.box).values()), each.mask is not None)
        for sample in data.samples
        for each in sample.objects
    ]


def kinds(root: Path) -> dict[str, int]:
    report = check_dataset(read_dataset(root, task="detection"), workers=1)
    assert report.problems == ()
    return {kind.value: count for kind, count in report.remark_counts.items()}


def test_polygons_rectangles_and_circles(tmp_path):
    write(tmp_path, "0", shape(), shape("dog", [[40, 30], [20, 12]], "rectangle"))
    write(tmp_path, "1", shape("dog", [[20, 20], [26, 28]], "circle"))
    write(tmp_path, "2")
    assert found(tmp_path) == [
        ("0.jpg", "cat", (10, 10, 30, 26), True),
        ("0.jpg", "dog", (20, 12, 40, 30), False),
        ("1.jpg", "dog", (10, 10, 30, 30), True),
    ]
    data = read_dataset(tmp_path)
    assert data.layout == "labelme"
    assert len(data.samples) == 3
    assert data.remarks.total() == 0
    circle = data.samples[1].objects[0].mask.load()
    assert circle.sum() == pytest.approx(3.1416 * 100, rel=0.03)
    assert read_dataset(tmp_path, task="segmentation").classes == ("background", "cat", "dog")


def test_shapes_of_one_group_are_one_object(tmp_path):
    other = [[40, 30], [50, 30], [50, 40]]
    write(tmp_path, "0", shape(group_id=1), shape(points=other, group_id=1), shape("dog", other, group_id=1))
    assert found(tmp_path) == [("0.jpg", "cat", (10, 10, 50, 40), True), ("0.jpg", "dog", (40, 30, 50, 40), True)]


def test_splits_and_folders_of_annotations(tmp_path):
    for split in ("train", "val"):
        put(tmp_path / split / "images/0.jpg", len(split))
        (tmp_path / split / "labels").mkdir()
        write(tmp_path / split / "labels", "0", shape(), picture=False, name="..\\images\\0.jpg")
    data = read_dataset(tmp_path, task="detection")
    assert [(sample.name, sample.split) for sample in data.samples] == [
        ("train/images/0.jpg", "train"),
        ("val/images/0.jpg", "val"),
    ]


@pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points", "mask", "cuboid"])
def test_what_has_no_area_is_left_out(tmp_path, kind):
    write(tmp_path, "0", shape(), shape("dog", [[1, 1], [9, 9]], kind))
    assert len(found(tmp_path)) == 1
    assert kinds(tmp_path) == {"shape": 1}


@pytest.mark.parametrize(
    ("odd", "remarks"),
    [
        (shape(points=[["10", "10"], [30, 10], [30, 26]]), {"number-as-text": 1}),
        (shape(points=[[10, 10], [30, 10]]), {"outline": 1}),
        (shape(points=[]), {"outline": 1}),
        (shape(points=[[10, 10], [300, 10], [30, 26]]), {"outline": 1}),
        (shape(points=[[10, 10, 1]] * 3), {"outline": 1}),
        (shape(points=[[float("nan"), 10], [30, 10], [30, 26]]), {"outline": 1}),
        (shape(points=[[10, 10], [10, 20]], kind="rectangle"), {"box": 1}),
        (shape(points=[[10, 10], [12, 20], [14, 30]], kind="rectangle"), {"box": 1}),
        (shape(points=[[10, 10], [10, 10]], kind="circle"), {"outline": 1}),
        (shape(label=None), {"class": 1}),
        (shape(label=" "), {"class": 1}),
        ("no shape", {"entry": 1}),
    ],
)
def test_odd_shapes(tmp_path, odd, remarks):
    write(tmp_path, "0", shape(), odd)
    assert kinds(tmp_path) == remarks


def test_the_picture_in_the_file_counts_where_there_is_no_other(tmp_path):
    put(tmp_path / "else/9.png", 3)
    data = base64.b64encode((tmp_path / "else/9.png").read_bytes()).decode()
    path = write(tmp_path, "0", shape(), picture=False, imageData=data, imageWidth=None, imageHeight=None)
    assert kinds(tmp_path) == {"embedded-picture": 1}
    sample = read_dataset(tmp_path, task="detection").samples[0]
    assert sample.name == "0.json"
    assert sample.size == SIZE
    assert sample.encoded() == (tmp_path / "else/9.png").read_bytes()
    path.unlink()
    with pytest.raises(DataInvalidError):
        sample.encoded()


def test_a_stale_path_is_that_of_the_file_beside(tmp_path):
    write(tmp_path, "0", shape())
    write(tmp_path, "1", shape("dog"), name="0.jpg")
    assert [name for name, *_ in found(tmp_path)] == ["0.jpg", "1.jpg"]
    assert kinds(tmp_path) == {"stale-filename": 1}


def test_two_files_of_one_picture_are_in_doubt(tmp_path):
    write(tmp_path, "0", shape())
    write(tmp_path, "copy", shape("dog"), name="0.jpg", picture=False)
    assert [name for name, *_ in found(tmp_path)] == ["0.jpg"]
    assert kinds(tmp_path) == {"picture-in-doubt": 1}


def test_broken_files_leave_out_their_picture(tmp_path):
    write(tmp_path, "0", shape())
    write(tmp_path, "1").write_text('{"version": "5", "shapes": [')
    write(tmp_path, "2").write_text("")
    write(tmp_path, "3", picture=False)
    write(tmp_path, "4").write_text('{"version": "5", "shapes": 7}')
    assert kinds(tmp_path) == {"annotation-file": 3, "picture-missing": 1}


def test_embedded_text_that_is_no_picture(tmp_path):
    write(tmp_path, "0", shape())
    write(tmp_path, "1", shape(), picture=False, imageData="@@@@", imageWidth=None)
    write(tmp_path, "2", shape(), picture=False, imageData=base64.b64encode(b"no picture").decode())
    assert kinds(tmp_path)["picture-broken"] == 2


def test_hostile_files(tmp_path):
    """Nested too deep, and with far more lists than the limit has room for."""
    write(tmp_path, "0", shape())
    write(tmp_path, "1").write_text('{"version": "5", "shapes": ' + "[" * 100_000)
    path = write(tmp_path, "2")
    path.write_text('{"version": "5", "shapes": [' + "[]," * 400_000 + "[]]}")
    try:
        limit_annotations(4)
        assert kinds(tmp_path) == {"annotation-file": 2}
    finally:
        limit_annotations(256)


def test_files_that_are_too_large_together(tmp_path):
    """What is kept of each is; pictures in them are not."""
    data = base64.b64encode(b"0" * 400_000).decode()
    for stem in "0123":
        write(tmp_path, stem, shape(), imageData=data)
    try:
        limit_annotations(1)
        assert len(found(tmp_path)) == 4
        for stem in "0123":
            write(tmp_path, stem, shape(), notes=data)
        with pytest.raises(DataInvalidError, match="too large together"):
            read_dataset(tmp_path, task="detection")
    finally:
        limit_annotations(256)


def test_what_is_called_as_a_file_and_is_none(tmp_path):
    """A folder, a pipe and a link to nothing beside folders of classes."""
    for name in ("cat", "dog"):
        put(tmp_path / name / "0.jpg", len(name))
    (tmp_path / "a.json").mkdir()
    os.mkfifo(tmp_path / "b.json")
    (tmp_path / "c.json").symlink_to("gone")
    assert read_dataset(tmp_path, task="classification").layout == "folders"


def test_coco_beside_goes_first(tmp_path):
    coco(tmp_path)
    write(tmp_path, "0", shape())
    assert read_dataset(tmp_path, task="detection").layout == "coco"


def test_a_link_out_of_the_data_is_not_followed_by_its_path(tmp_path):
    put(tmp_path / "secret.jpg", 1)
    inside = tmp_path / "data"
    inside.mkdir()
    write(inside, "0", shape())
    write(inside, "1", shape(), name="../secret.jpg", picture=False)
    assert kinds(inside) == {"picture-missing": 1}
