"""VGG Image Annotator's own JSON and CSV: regions as objects, odd and hostile files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")

from tests.unit.object_data import put
from trunkline.core.errors import DataInvalidError
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset
from trunkline.training.data.reading import limit_annotations

RECT = {"name": "rect", "x": 10, "y": 10, "width": 20, "height": 16}
POLYGON = {"name": "polygon", "all_points_x": [10, 30, 30, 10], "all_points_y": [10, 10, 26, 10]}


def region(shape: object = None, **attributes: object) -> dict:
    return {"shape_attributes": RECT if shape is None else shape, "region_attributes": attributes or {"class": "cat"}}


def write(root: Path, *regions: list, form: str = "2", pictures: int | None = None) -> Path:
    """form: of VIA 2, 1, or a project."""
    entries: dict[str, dict] = {}
    for number, found in enumerate(regions):
        if pictures is None or number < pictures:
            put(root / f"{number}.jpg", number)
        given = dict(enumerate(found)) if form == "1" else found
        entries[f"{number}.jpg1234"] = {
            "filename": f"{number}.jpg",
            "size": 1234,
            "regions": given,
            "file_attributes": {},
        }
    project = {
        "_via_settings": {"ui": {}},
        "_via_img_metadata": entries,
        "_via_attributes": {"region": {}, "file": {}},
    }
    path = root / "via_region_data.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(project if form == "project" else entries), encoding="utf-8")
    return path


def as_csv(path: Path) -> Path:
    """The same as VIA's CSV."""
    target = path.with_suffix(".csv")
    with target.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["filename", "file_size", "file_attributes", "region_count", "region_id",
                       "region_shape_attributes", "region_attributes"])  # fmt: skip
        for entry in json.loads(path.read_text()).values():
            found, start = entry["regions"], [entry["filename"], 1234, "{}"]
            for number, each in enumerate(found):
                shape, values = json.dumps(each["shape_attributes"]), json.dumps(each["region_attributes"])
                rows.writerow([*start, len(found), number, shape, values])
            if not found:
                rows.writerow([*start, 0, 0, "{}", "{}"])
    path.unlink()
    return target


def found(root: Path) -> list[tuple[str, str, tuple[float, ...], bool]]:
    data = read_dataset(root, task="detection")
    return [
        (
            sample.name,
            data.classes[each.label],
            tuple(round(side, 3) for side in vars(each.box).values()),
            each.mask is not None,
        )
        for sample in data.samples
        for each in sample.objects
    ]


def kinds(root: Path) -> dict[str, int]:
    report = check_dataset(read_dataset(root, task="detection"), workers=1)
    assert report.problems == ()
    return {kind.value: count for kind, count in report.remark_counts.items()}


@pytest.mark.parametrize("form", ["2", "1", "project", "csv"])
def test_regions(tmp_path, form):
    circle, ellipse = (
        {"name": "circle", "cx": 20, "cy": 20, "r": 10},
        {"name": "ellipse", "cx": 32, "cy": 24, "rx": 12, "ry": 6},
    )
    regions = [region(), region(POLYGON, **{"class": "dog"})], [region(circle), region(ellipse)], []
    path = write(tmp_path, *regions, form="2" if form == "csv" else form)
    if form == "csv":
        path = as_csv(path)
    assert found(tmp_path) == [
        ("0.jpg", "cat", (10, 10, 30, 26), False),
        ("0.jpg", "dog", (10, 10, 30, 26), True),
        ("1.jpg", "cat", (10, 10, 30, 30), True),
        ("1.jpg", "cat", (20, 18, 44, 30), True),
    ]
    assert kinds(tmp_path) == {}
    assert len(read_dataset(path, task="detection").samples) == 3
    assert read_dataset(tmp_path).layout == "via"


def test_ellipses_turn_by_radians(tmp_path):
    write(tmp_path, [region({"name": "ellipse", "cx": 32, "cy": 24, "rx": 12, "ry": 6, "theta": np.pi / 2})])
    assert found(tmp_path) == [("0.jpg", "cat", (26, 12, 38, 36), True)]


def test_splits(tmp_path):
    for split in ("train", "val"):
        write(tmp_path / split, [region()])
    assert [(sample.name, sample.split) for sample in read_dataset(tmp_path, task="detection").samples] == [
        ("train/0.jpg", "train"),
        ("val/0.jpg", "val"),
    ]


def test_which_attribute_is_the_class(tmp_path):
    several = region(colour="red", type="cat")
    ticked = region(colour="red", type={"dog": True, "cat": False})
    doubtful = region(colour="red", type={"dog": True, "cat": True})
    write(tmp_path, [several, ticked, doubtful, region(colour="red")])
    assert [name for _, name, *_ in found(tmp_path)] == ["cat", "dog"]
    assert kinds(tmp_path) == {"class": 2}


@pytest.mark.parametrize(
    ("odd", "remarks"),
    [
        (region({"name": "point", "cx": 1, "cy": 1}), {"shape": 1}),
        (region({"name": "polyline", "all_points_x": [1, 2], "all_points_y": [1, 2]}), {"shape": 1}),
        (region({**RECT, "width": 0}), {"box": 1}),
        (region({**RECT, "width": 900}), {"box": 1}),
        (region({**RECT, "width": None}), {"box": 1}),
        (region({**RECT, "width": "9"}), {"number-as-text": 1}),
        (region({**POLYGON, "all_points_x": [1]}), {"outline": 1}),
        (region({**POLYGON, "all_points_x": ["a"] * 4}), {"outline": 1}),
        (region({"name": "circle", "cx": 20, "cy": 20, "r": -1}), {"outline": 1}),
        (region({"name": "circle", "cx": 20, "cy": 20, "r": 40}), {"outline": 1}),
        (region({"name": ["rect"]}), {"shape": 1}),
        (region(7), {"entry": 1}),
        (7, {"entry": 1}),
        ({"shape_attributes": RECT, "region_attributes": {}}, {"class": 1}),
    ],
)
def test_odd_regions(tmp_path, odd, remarks):
    write(tmp_path, [region()], [odd])
    assert kinds(tmp_path) == remarks


def test_odd_pictures(tmp_path):
    path = write(tmp_path, [region()], [region()], pictures=1)
    document = json.loads(path.read_text())
    document |= {"a": 7, "b": {"filename": 7, "regions": []}, "c": {"filename": "0.jpg", "regions": "x"}}
    path.write_text(json.dumps(document))
    assert kinds(tmp_path) == {"picture-missing": 1, "entry": 3}


def test_hostile_files(tmp_path):
    path = write(tmp_path, [region()], [region()])
    good = path.read_text()
    path.write_text(good[:-1] + ', "a": ' + "[" * 100_000)
    with pytest.raises(DataInvalidError, match="nested too deep"):
        read_dataset(tmp_path, task="detection")
    try:
        limit_annotations(1)
        path.write_text(good[:-1] + ', "a": [' + "[]," * 100_000 + "[]]}")
        with pytest.raises(DataInvalidError, match="too many"):
            read_dataset(tmp_path, task="detection")
    finally:
        limit_annotations(256)
    path.write_text(good)
    table = as_csv(path)
    table.write_text(table.read_text().replace('""class""', '""class', 1))
    assert kinds(tmp_path) == {"class": 1}
    table.write_text(table.read_text().replace('{""name""', '{""name', 1))
    assert kinds(tmp_path) == {"entry": 1}
