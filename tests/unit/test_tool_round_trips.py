"""Data sets made at random, written by the conventions of tools that label and nothing of the readers, read back."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

pytest.importorskip("hypothesis", reason="needs the dev extra: pip install -e '.[dev]'")
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.object_data import put
from tests.unit.test_data_round_trips import (
    HEIGHT,
    READ,
    WIDTH,
    Shot,
    Thing,
    as_made,
    as_read,
    folder,
    labels_of,
    worlds,
)
from trunkline.training.data.read import read_dataset

World = tuple[list[str], list[Shot]]


def pairs_of(each: Thing) -> list[list[int]]:
    return [each.corners[place : place + 2] for place in range(0, 8, 2)]


def write_labelme(root: Path, classes: list[str], shots: list[Shot]) -> None:
    for number, shot in enumerate(shots):
        name = shot.named(number)
        put(root / shot.split / name, number)
        shapes = [
            {
                "label": classes[each.label],
                "points": pairs_of(each) if each.outlined else [each.box[:2], each.box[2:]],
                "group_id": None,
                "shape_type": "polygon" if each.outlined else "rectangle",
            }
            for each in shot.things
        ]
        document = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None,
                    "imageHeight": HEIGHT, "imageWidth": WIDTH}  # fmt: skip
        path = root / shot.split / f"{number}{shot.word}.json"
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def cvat_shape(name: str, each: Thing) -> str:
    start = f'label={quoteattr(name)} source="manual" occluded="0"'
    if each.outlined:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in pairs_of(each))
        return f'<polygon {start} points="{points}" z_order="0"></polygon>'
    sides = (f'{key}="{side:.2f}"' for key, side in zip(("xtl", "ytl", "xbr", "ybr"), each.box, strict=True))
    return f'<box {start} {" ".join(sides)} z_order="0"></box>'


def write_cvat(root: Path, classes: list[str], shots: list[Shot], *, tags: bool = False) -> None:
    images = []
    for number, shot in enumerate(shots):
        put(root / "images" / shot.split / shot.named(number), number)
        inside = "".join(cvat_shape(classes[each.label], each) for each in shot.things)
        if tags:
            inside = f"<tag label={quoteattr(classes[shot.label])} source='manual'></tag>"
        start = f'id="{number}" name={quoteattr(shot.named(number))} subset="{shot.split}"'
        images.append(f'<image {start} width="{WIDTH}" height="{HEIGHT}">{inside}</image>')
    text = f"<annotations><version>1.1</version><meta></meta>{''.join(images)}</annotations>"
    (root / "annotations.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>{text}', encoding="utf-8")


def studio_region(name: str, each: Thing) -> dict:
    left, top, right, bottom = each.box
    if each.outlined:
        kind = "polygonlabels"
        value = {"points": [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in pairs_of(each)], "closed": True}
    else:
        kind, (width, height) = "rectanglelabels", (100 * (right - left) / WIDTH, 100 * (bottom - top) / HEIGHT)
        value = {"x": 100 * left / WIDTH, "y": 100 * top / HEIGHT, "width": width, "height": height, "rotation": 0}
    return {"id": "x", "type": kind, "from_name": "label", "to_name": "image", "original_width": WIDTH,
            "original_height": HEIGHT, "image_rotation": 0, "value": {**value, kind: [name]}}  # fmt: skip


def write_studio(root: Path, classes: list[str], shots: list[Shot], *, tags: bool = False) -> None:
    tasks: dict[str, list[dict]] = {}
    for number, shot in enumerate(shots):
        put(root / shot.split / "images" / shot.named(number), number)
        result = [studio_region(classes[each.label], each) for each in shot.things]
        if tags:
            value = {"choices": [classes[shot.label]]}
            result = [{"id": "c", "type": "choices", "from_name": "c", "to_name": "image", "value": value}]
        annotation = {"id": number, "was_cancelled": False, "ground_truth": False, "result": result}
        task = {"id": number, "annotations": [annotation], "predictions": [], "data": {"image": shot.named(number)}}
        tasks.setdefault(shot.split, []).append(task)
    for split, found in tasks.items():
        (root / split / "project-1.json").write_text(json.dumps(found), encoding="utf-8")


def write_metadata(root: Path, classes: list[str], shots: list[Shot]) -> None:
    rows: dict[str, list[str]] = {}
    for number, shot in enumerate(shots):
        put(root / shot.split / shot.named(number), number)
        boxes = [[left, top, right - left, bottom - top] for left, top, right, bottom in (t.box for t in shot.things)]
        objects = {"bbox": boxes, "categories": [classes[each.label] for each in shot.things]}
        rows.setdefault(shot.split, []).append(json.dumps({"file_name": shot.named(number), "objects": objects}))
    for split, lines in rows.items():
        (root / split / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")


def write_via(root: Path, classes: list[str], shots: list[Shot]) -> None:
    entries: dict[str, dict[str, dict]] = {}
    for number, shot in enumerate(shots):
        put(root / shot.split / shot.named(number), number)
        regions = []
        for each in shot.things:
            left, top, right, bottom = each.box
            shape = {"name": "rect", "x": left, "y": top, "width": right - left, "height": bottom - top}
            if each.outlined:
                xs, ys = each.corners[::2], each.corners[1::2]
                shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
            regions.append({"shape_attributes": shape, "region_attributes": {"kind": classes[each.label]}})
        entry = {"filename": shot.named(number), "size": 1, "regions": regions, "file_attributes": {}}
        entries.setdefault(shot.split, {})[f"{shot.named(number)}1"] = entry
    for split, found in entries.items():
        (root / split / "via_region_data.json").write_text(json.dumps(found), encoding="utf-8")


def require_equal(write: Callable, world: World, thing: Callable[[Thing], tuple[bool, bool]]) -> None:
    classes, shots = world
    with folder() as root:
        write(root, classes, shots)
        data = read_dataset(root, task="detection")
        assert set(data.classes) == {classes[each.label] for shot in shots for each in shot.things}
        assert as_read(data) == as_made(classes, shots, thing)


@READ
@given(worlds())
def test_labelme(world):
    require_equal(write_labelme, world, lambda each: (False, each.outlined))


@READ
@given(worlds())
def test_cvat(world):
    require_equal(write_cvat, world, lambda each: (False, each.outlined))


@READ
@given(worlds())
def test_label_studio(world):
    require_equal(write_studio, world, lambda each: (False, each.outlined))


@READ
@given(worlds())
def test_via(world):
    require_equal(write_via, world, lambda each: (False, each.outlined))


@READ
@given(worlds())
def test_metadata(world):
    require_equal(write_metadata, world, lambda each: (False, False))


@READ
@given(worlds(), st.sampled_from((write_cvat, write_studio)))
def test_classes_of_whole_pictures(world, write):
    classes, shots = world
    with folder() as root:
        write(root, classes, shots, tags=True)
        found = {Path(name).name: truth for name, truth in labels_of(read_dataset(root)).items()}
        assert found == {shot.named(n): (shot.split, classes[shot.label]) for n, shot in enumerate(shots)}


@READ
@given(worlds())
def test_labels_in_metadata_csv(world):
    classes, shots = world
    with folder() as root:
        made = {}
        with (root / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["file_name", "label"])
            for number, shot in enumerate(shots):
                name = f"{shot.split}/{shot.named(number)}"
                put(root / name, number)
                rows.writerow([name, classes[shot.label]])
                made[name] = (shot.split, classes[shot.label])
        assert labels_of(read_dataset(root)) == made
