"""CVAT's XML for images: shapes as objects, tags as classes, odd and hostile files."""

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")

from tests.unit.object_data import SIZE, put
from trunkline.core.errors import DataInvalidError
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset
from trunkline.training.data.reading import limit_annotations

META = "<version>1.1</version><meta><job><labels><label><name>cat</name></label></labels></job></meta>"


def shape(kind: str = "box", label: str = "cat", **values: object) -> str:
    given = values or {"xtl": "10.00", "ytl": "10.00", "xbr": "30.00", "ybr": "26.00"}
    text = " ".join(f"{key}={quoteattr(str(value))}" for key, value in given.items())
    return f'<{kind} label={quoteattr(label)} source="manual" occluded="0" {text} z_order="0"></{kind}>'


def image(number: int, *shapes: str, name: str | None = None, size: tuple[int, int] = SIZE, **more: str) -> str:
    given = {"id": number, "name": name or f"{number}.jpg", "width": size[0], "height": size[1], **more}
    text = " ".join(f"{key}={quoteattr(str(value))}" for key, value in given.items())
    return f"<image {text}>{''.join(shapes)}</image>"


def write(root: Path, *images: str, pictures: int = 0, name: str = "annotations.xml", start: str = META) -> Path:
    for number in range(pictures or len(images)):
        put(root / f"images/{number}.jpg", number)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{start}{"".join(images)}</annotations>'
    path.write_text(text, encoding="utf-8")
    return path


def sides(box) -> tuple[float, ...]:
    return tuple(round(side, 3) for side in vars(box).values())


def found(root: Path) -> list[tuple[str, str, tuple[float, ...], bool]]:
    data = read_dataset(root, task="detection")
    return [
        (
            sample.name,
            data.classes[each.label],
            tuple(round(side, 3) for side in vars(each.box).values()),
            bool(each.mask),
        )
        for sample in data.samples
        for each in sample.objects
    ]


def kinds(root: Path, task: str = "detection") -> dict[str, int]:
    report = check_dataset(read_dataset(root, task=task), workers=1)
    assert report.problems == ()
    return {kind.value: count for kind, count in report.remark_counts.items()}


def test_boxes_polygons_ellipses_and_masks(tmp_path):
    polygon = shape("polygon", "dog", points="10.00,10.00;30.00,10.00;30.00,26.00")
    ellipse = shape("ellipse", "dog", cx=32, cy=24, rx=12, ry=6)
    mask = shape("mask", "dog", rle="1, 2, 3", left=4, top=5, width=3, height=2)
    write(tmp_path, image(0, shape(), polygon), image(1, ellipse), image(2, mask), image(3))
    assert found(tmp_path) == [
        ("images/0.jpg", "cat", (10, 10, 30, 26), False),
        ("images/0.jpg", "dog", (10, 10, 30, 26), True),
        ("images/1.jpg", "dog", (20, 18, 44, 30), True),
        ("images/2.jpg", "dog", (4, 5, 7, 7), True),
    ]
    data = read_dataset(tmp_path)
    assert data.layout == "cvat"
    assert len(data.samples) == 4
    assert data.remarks.total() == 0
    assert data.samples[1].objects[0].mask.load().sum() == pytest.approx(np.pi * 12 * 6, rel=0.03)
    pixels = data.samples[2].objects[0].mask.load()
    assert pixels.shape == SIZE[::-1]
    assert pixels[5:7, 4:7].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert pixels.sum() == 2


def test_the_file_itself_and_splits(tmp_path):
    path = write(tmp_path, image(0, shape(), subset="Train"), image(1, shape(), subset="default"))
    assert [sample.split for sample in read_dataset(path, task="detection").samples] == ["train", ""]
    for split in ("train", "test"):
        write(tmp_path / "both" / split, image(0, shape()))
    assert [sample.name for sample in read_dataset(tmp_path / "both", task="detection").samples] == [
        "train/images/0.jpg",
        "test/images/0.jpg",
    ]


def test_pictures_of_subsets_of_the_same_name(tmp_path):
    for split in ("train", "val"):
        put(tmp_path / f"images/{split}/0.jpg", len(split))
    write(tmp_path, image(9, shape(), name="0.jpg", subset="train"), image(8, name="0.jpg", subset="val"), pictures=1)
    (tmp_path / "images/0.jpg").unlink()
    assert [(sample.name, sample.split) for sample in read_dataset(tmp_path, task="detection").samples] == [
        ("images/train/0.jpg", "train"),
        ("images/val/0.jpg", "val"),
    ]


def test_tags_are_classes(tmp_path):
    tag = '<tag label="{}" source="manual"></tag>'
    several = tag.format("cat") + tag.format("dog")
    write(tmp_path, image(0, tag.format("cat")), image(1, tag.format("dog")), image(2), image(3, several))
    data = read_dataset(tmp_path, task="classification")
    assert [(sample.name, data.classes[sample.label]) for sample in data.samples] == [
        ("images/0.jpg", "cat"),
        ("images/1.jpg", "dog"),
    ]
    assert kinds(tmp_path, "classification") == {"class": 2}
    assert read_dataset(tmp_path).classes == ("cat", "dog")
    with pytest.raises(DataInvalidError, match="no objects"):
        read_dataset(tmp_path, task="detection")


def test_boxes_alone_are_no_classes(tmp_path):
    write(tmp_path, image(0, shape()))
    with pytest.raises(DataInvalidError, match="pictures with boxes"):
        read_dataset(tmp_path, task="classification")


def test_a_turned_box_is_the_box_around_it(tmp_path):
    write(tmp_path, image(0, shape(xtl=20, ytl=20, xbr=40, ybr=30, rotation="90.0")))
    assert found(tmp_path) == [("images/0.jpg", "cat", (25, 15, 35, 35), False)]
    assert kinds(tmp_path) == {"turned-box": 1}


@pytest.mark.parametrize(
    ("odd", "remarks"),
    [
        (shape("polyline", points="1,1;9,9"), {"shape": 1}),
        (shape("points", points="1,1"), {"shape": 1}),
        (shape("cuboid", xtl1="1"), {"shape": 1}),
        (shape("skeleton"), {"shape": 1}),
        (shape("polygon", points="1,1;9,9"), {"outline": 1}),
        (shape("polygon", points=""), {"outline": 1}),
        (shape("polygon", points="1;2;3"), {"outline": 1}),
        (shape("polygon", points="1,x;2,3;3,3"), {"outline": 1}),
        (shape("polygon", points="1,1;900,3;3,3"), {"outline": 1}),
        (shape(xtl="10"), {"box": 1}),
        (shape(xtl=10, ytl=10, xbr=10, ybr=20), {"box": 1}),
        (shape(xtl=10, ytl=10, xbr=100, ybr=20), {"box": 1}),
        (shape("ellipse", cx=32, cy=24, rx=0, ry=6), {"outline": 1}),
        (shape("mask", rle="1,2,4", left=4, top=5, width=3, height=2), {"outline": 1}),
        (shape("mask", rle="-1,7", left=4, top=5, width=3, height=2), {"outline": 1}),
        (shape("mask", rle="4294967296", left=0, top=0, width=65536, height=65536), {"outline": 1}),
        (shape("mask", rle="", left=4, top=5, width=3, height=2), {"outline": 1}),
        (shape(label=" "), {"class": 1}),
    ],
)
def test_odd_shapes(tmp_path, odd, remarks):
    write(tmp_path, image(0, shape(), odd))
    assert kinds(tmp_path) == remarks


def test_odd_pictures(tmp_path):
    write(tmp_path, image(0, shape()), image(1, shape(), name="gone.jpg"), image(2, shape(), size=(0, 0)),
          image(3, shape(), size=(9, 9)), image(0, shape()), pictures=4)  # fmt: skip
    report = check_dataset(read_dataset(tmp_path, task="detection"), workers=1)
    counts = {kind.value: count for kind, count in report.remark_counts.items()}
    assert counts == {"picture-in-doubt": 2, "picture-missing": 1, "size-from-picture": 1, "box": 1, "other-size": 1}


def refusal(root: Path) -> str:
    with pytest.raises(DataInvalidError) as caught:
        read_dataset(root, task="detection")
    return caught.value.message


def test_a_video_is_refused(tmp_path):
    write(tmp_path, '<track id="0" label="cat"><box frame="0"/></track>')
    assert "export it as CVAT for images" in refusal(tmp_path)


def test_no_xml(tmp_path):
    path = write(tmp_path, image(0, shape()))
    path.write_text(path.read_text()[:-30])
    assert "not XML" in refusal(tmp_path)


def test_hostile_files(tmp_path):
    """Entities, elements and numbers beyond the limits, and a subset that leads out."""
    path = write(tmp_path, image(0, shape()))
    good = path.read_text()
    entity = '<!DOCTYPE a [<!ENTITY a "b">]><annotations>'
    path.write_text(good.replace("<annotations>", entity))
    assert "declares a document type" in refusal(tmp_path)
    try:
        limit_annotations(1)
        path.write_text(good.replace(META, META + "<a/>" * 40_000))
        assert "too many elements" in refusal(tmp_path)
        path.write_text(good.replace("10.00", "1" + "," * 300_000, 1))
        assert "too many elements or numbers" in refusal(tmp_path)
        path.write_text(good + " " * 2**20)
        assert "the limit is" in refusal(tmp_path)
    finally:
        limit_annotations(256)
    inside = tmp_path / "data"
    put(tmp_path / "secret/5.jpg", 5)
    write(inside, image(0, shape()), image(5, shape(), subset=".."), image(5, shape(), name="../../secret/5.jpg"),
          image(6, shape(), subset="a" * 5000), pictures=1)  # fmt: skip
    assert kinds(inside) == {"picture-missing": 3}
