"""Label Studio's own JSON: regions as objects, choices as classes, odd and hostile exports."""

import json
from pathlib import Path

import pytest

pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")

from tests.unit.object_data import SIZE, put
from trunkline.core.errors import DataInvalidError
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset
from trunkline.training.data.reading import limit_annotations

BOX = {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0}  # 16, 24, 48, 36
SIDES = (16, 24, 48, 36)


def region(kind: str = "rectanglelabels", labels: object = ("cat",), **value: object) -> dict:
    given = dict(value or BOX)
    given[kind] = list(labels) if isinstance(labels, tuple) else labels
    return {"id": "a1b2", "type": kind, "from_name": "label", "to_name": "image", "origin": "manual",
            "original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0, "value": given}  # fmt: skip


def choice(*names: str) -> dict:
    return {"id": "c", "type": "choices", "from_name": "c", "to_name": "image", "value": {"choices": list(names)}}


def annotation(*results: object, cancelled: object = False) -> dict:
    return {"id": 1, "was_cancelled": cancelled, "ground_truth": False, "result": list(results)}


def task(number: int, *results: object, image: str | None = None, **more: object) -> dict:
    return {"id": number, "annotations": [annotation(*results)], "predictions": [], "meta": {},
            "data": {"image": image or f"images/{number}.jpg"}, "project": 1, **more}  # fmt: skip


def write(root: Path, *tasks: object, name: str = "project-1-at-2024.json", pictures: int | None = None) -> Path:
    for number in range(len(tasks) if pictures is None else pictures):
        put(root / f"images/{number}.jpg", number)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def found(root: Path) -> list[tuple[str, str, tuple[float, ...], bool]]:
    data = read_dataset(root, task="detection")
    return [
        (sample.name, data.classes[each.label], sides(each.box), each.mask is not None)
        for sample in data.samples
        for each in sample.objects
    ]


def sides(box) -> tuple[float, ...]:
    return tuple(round(side, 3) for side in vars(box).values())


def kinds(root: Path, what: str = "detection") -> dict[str, int]:
    report = check_dataset(read_dataset(root, task=what), workers=1)
    assert report.problems == ()
    return {kind.value: count for kind, count in report.remark_counts.items()}


def test_rectangles_polygons_and_ellipses(tmp_path):
    polygon = region("polygonlabels", ("dog",), points=[[25, 50], [75, 50], [75, 75]], closed=True)
    ellipse = region("ellipselabels", ("dog",), x=50, y=50, radiusX=25, radiusY=25, rotation=0)
    write(tmp_path, task(0, region(), polygon), task(1, ellipse), task(2))
    assert found(tmp_path) == [
        ("images/0.jpg", "cat", SIDES, False),
        ("images/0.jpg", "dog", SIDES, True),
        ("images/1.jpg", "dog", (16, 12, 48, 36), True),
    ]
    data = read_dataset(tmp_path)
    assert data.layout == "label-studio"
    assert len(data.samples) == 3
    assert data.remarks.total() == 0


def test_the_file_itself_and_splits(tmp_path):
    path = write(tmp_path / "one", task(0, region()))
    assert len(read_dataset(path, task="detection").samples) == 1
    for split in ("train", "val"):
        write(tmp_path / "two" / split, task(0, region()))
    data = read_dataset(tmp_path / "two", task="detection")
    assert [(sample.name, sample.split) for sample in data.samples] == [
        ("train/images/0.jpg", "train"),
        ("val/images/0.jpg", "val"),
    ]


def test_labels_with_a_region_of_the_same_id(tmp_path):
    """As a Labels tag beside a Rectangle tag has them."""
    bare = {"id": "a1b2", "type": "rectangle", "value": BOX}
    write(tmp_path, task(0, bare, region("labels")))
    assert found(tmp_path) == [("images/0.jpg", "cat", SIDES, False)]
    assert kinds(tmp_path) == {}


@pytest.mark.parametrize(
    ("image", "upload"),
    [
        ("/data/upload/1/0a1b2c3d-0.jpg", "0a1b2c3d-0.jpg"),
        ("/data/local-files/?d=images%2F0.jpg", None),
        ("s3://bucket/images/0.jpg", None),
        ("https://example.com/images/0.jpg?X-Amz-Signature=1", None),
        ("http://localhost:8080/data/upload/7/0.jpg", None),
    ],
)
def test_pictures_by_the_ends_of_their_urls(tmp_path, image, upload):
    write(tmp_path, task(0, region(), image=image, **({"file_upload": upload} if upload else {})))
    assert found(tmp_path) == [("images/0.jpg", "cat", SIDES, False)]
    assert kinds(tmp_path) in ({"name-path-end": 1}, {"name-url-coded": 1})


def test_choices_are_classes(tmp_path):
    write(tmp_path, task(0, choice("cat")), task(1, choice("dog")), task(2, choice("cat", "dog")), task(3))
    data = read_dataset(tmp_path, task="classification")
    assert [(sample.name, data.classes[sample.label]) for sample in data.samples] == [
        ("images/0.jpg", "cat"),
        ("images/1.jpg", "dog"),
    ]
    assert kinds(tmp_path, "classification") == {"class": 2}
    assert read_dataset(tmp_path).classes == ("cat", "dog")


def test_one_of_several_annotations(tmp_path):
    other = annotation(region(labels=("dog",)))
    write(
        tmp_path,
        {**task(0), "annotations": [annotation(region(labels=("no",)), cancelled=True), annotation(region()), other]},
        {**task(1), "annotations": [annotation(region(), cancelled="true")]},
        {**task(2), "annotations": []},
    )
    assert found(tmp_path) == [("images/0.jpg", "cat", SIDES, False)]
    assert kinds(tmp_path) == {"several-annotations": 1, "not-labelled": 2}


def test_a_turned_box_is_the_box_around_it(tmp_path):
    """About its top-left corner, clockwise: 32 x 12 pixels at (30, 8) are 12 x 32 to the left of it."""
    turned = region(x=30 / 64 * 100, y=8 / 48 * 100, width=50, height=25, rotation=90)
    write(tmp_path, task(0, turned))
    assert found(tmp_path) == [("images/0.jpg", "cat", (18, 8, 30, 40), False)]
    assert kinds(tmp_path) == {"turned-box": 1}


@pytest.mark.parametrize(
    ("odd", "remarks"),
    [
        (region("keypointlabels", x=1, y=1, width=0.5), {"shape": 1}),
        (region("brushlabels", format="rle", rle=[1, 2]), {"outline": 1}),
        (region("polygonlabels", points=[[1, 1], [9, 9]]), {"outline": 1}),
        (region("polygonlabels", points=7), {"outline": 1}),
        (region("polygonlabels", points=[[1, None]] * 3), {"outline": 1}),
        (region("ellipselabels", x=50, y=50, radiusX=0, radiusY=2), {"outline": 1}),
        (region(x=90, y=10, width=50, height=10), {"box": 1}),
        (region(x=10, y=10, width=0, height=10), {"box": 1}),
        (region(x=10, y=float("nan"), width=10, height=10), {"box": 1}),
        (region(x="10", y=10, width=10, height=10), {"number-as-text": 1}),
        (region(labels=("cat", "dog")), {"class": 1}),
        (region(labels=(7,)), {"class": 1}),
        (region(labels=None), {"class": 1}),
        ({**region(), "image_rotation": 90}, {"turned-box": 1}),
        ({**region(), "value": 7}, {"entry": 1}),
        ({**region(), "type": ["a"]}, {"shape": 1}),
    ],
)
def test_odd_results(tmp_path, odd, remarks):
    write(tmp_path, task(0, region()), task(1, odd))
    assert kinds(tmp_path) == remarks


def test_odd_tasks(tmp_path):
    write(tmp_path, task(0, region()), 7, {"data": 7}, {**task(3), "annotations": [{"result": 5}]},
          task(4, region(), image="gone.jpg"), task(5, region(), image="https://else/0.jpg"),
          {**task(6, region()), "data": {"a": "b"}}, {**task(7), "annotations": [annotation("x")]})  # fmt: skip
    assert kinds(tmp_path) == {"entry": 4, "picture-missing": 2, "picture-in-doubt": 1}


def test_hostile_exports(tmp_path):
    path = write(tmp_path, task(0, region()))
    good = path.read_text()
    path.write_text(good[:-5])
    with pytest.raises(DataInvalidError, match="not JSON"):
        read_dataset(tmp_path, task="detection")
    path.write_text(good[:-1] + ", " + "[" * 100_000)
    with pytest.raises(DataInvalidError, match="nested too deep"):
        read_dataset(tmp_path, task="detection")
    try:
        limit_annotations(1)
        path.write_text(good[:-1] + ", []" * 100_000 + "]")
        with pytest.raises(DataInvalidError, match="too many"):
            read_dataset(tmp_path, task="detection")
    finally:
        limit_annotations(256)


def test_a_path_out_of_the_data_is_not_followed(tmp_path):
    put(tmp_path / "secret.jpg", 1)
    write(tmp_path / "data", task(0, region()), task(1, region(), image="../secret.jpg"), pictures=1)
    assert kinds(tmp_path / "data") == {"picture-missing": 1}
