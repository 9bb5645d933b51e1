"""JSON, JSON-MIN and brushes that Label Studio's own converter wrote: tests/datasets/make_label_studio.py."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.brush import Brush, brush_of
from trunkline.training.data.read import read_dataset

SAMPLES = Path(__file__).parents[1] / "datasets"
EXPORTS = ("label-studio", "label-studio-min")
SIZE = (61, 43)


def objects(root: Path) -> dict[str, list[tuple[str, tuple[float, ...], bool]]]:
    data = read_dataset(root, task="detection")
    assert data.layout == "label-studio"
    return {
        sample.name: [
            (
                data.classes[each.label],
                tuple(round(side, 3) for side in vars(each.box).values()),
                each.mask is not None,
            )
            for each in sample.objects
        ]
        for sample in data.samples
    }


@pytest.mark.parametrize("export", EXPORTS)
def test_painted_areas_are_those_that_were_packed(export):
    data = read_dataset(SAMPLES / export / "data", task="detection")
    assert len(data.samples) == 3
    for sample in data.samples:
        brush = sample.objects[0].mask
        truth = np.array(Image.open(SAMPLES / export / "truth" / Path(sample.name).name)) > 0
        assert isinstance(brush, Brush)
        assert (brush.load() == truth).all()
        rows, columns = np.nonzero(truth)
        box = sample.objects[0].box
        assert (box.x_min, box.y_min) == (columns.min(), rows.min())
        assert (box.x_max, box.y_max) == (columns.max() + 1, rows.max() + 1)


def test_json_min_is_read_as_json_is():
    both = [objects(SAMPLES / export / "data") for export in EXPORTS]
    assert both[0] == {name: sorted(found, key=both[0][name].index) for name, found in both[1].items()}
    assert [len(found) for found in both[0].values()] == [4, 4, 4]


@pytest.mark.parametrize("export", EXPORTS)
def test_choices_are_classes(export):
    data = read_dataset(SAMPLES / export / "data", task="classification")
    found = {Path(sample.name).stem: data.classes[sample.label] for sample in data.samples}
    assert found == {"0": "dry", "1": "wet", "2": "dry"}


@pytest.mark.parametrize("export", EXPORTS)
def test_segmentation_learns_what_was_painted(export):
    data = read_dataset(SAMPLES / export / "data", task="segmentation")
    truth = np.array(Image.open(SAMPLES / export / "truth/2.png")) > 0
    sample = next(sample for sample in data.samples if sample.name.endswith("2.png"))
    others = [each.mask.load() for each in sample.mask.objects if each.mask and not isinstance(each.mask, Brush)]
    boxes = np.zeros_like(truth)
    boxes[8:26, 6:25] = True  # the rectangle, which has no outline
    alone = truth & ~np.any(others, axis=0) & ~boxes
    assert alone.any()
    assert set(sample.mask.load(SIZE)[alone].tolist()) == {data.classes.index("leaf")}


def edited(tmp_path: Path, change) -> Path:
    """JSON-MIN with one entry changed."""
    shutil.copytree(SAMPLES / "label-studio-min/data", tmp_path / "data")
    path = tmp_path / "data/result.json"
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))
    return tmp_path / "data"


def kinds(root: Path) -> dict[str, int]:
    remarks = read_dataset(root, task="detection").remarks
    return {kind.value: count for kind, count in remarks.counts.items() if kind.value != "name-path-end"}


def test_two_annotators_of_one_task_are_two_entries(tmp_path):
    root = edited(tmp_path, lambda entries: entries.append({**entries[0], "annotation_id": 99, "brush": []}))
    assert kinds(root) == {"several-annotations": 1}
    assert len(objects(root)["images/0.png"]) == 4


def test_a_task_that_nobody_annotated(tmp_path):
    """As the converter writes it."""
    bare = {"image": "/data/upload/1/x-9.png", "id": 9, "annotator": None, "annotation_id": None, "lead_time": None}
    assert kinds(edited(tmp_path, lambda entries: entries.append(bare))) == {"not-labelled": 1}


@pytest.mark.parametrize(
    "rle",
    [
        [],
        [1, 2, 3],
        [0, 0, 40, 252, 57, 27, 255],  # ends too early
        [0, 0, 0, 4, *[255] * 20],  # of another size
        [0, 0, 40, 252, 0, 0, 0, 0, 0],  # values of one bit
        [300, -1],
        ["a"],
        7,
        None,
        "AAAA",
    ],
)
def test_a_damaged_brush_costs_its_object_alone(tmp_path, rle):
    def change(entries: list) -> None:
        entries[0]["brush"][0]["rle"] = rle

    root = edited(tmp_path, change)
    assert kinds(root) == {"outline": 1}
    assert [len(found) for found in objects(root).values()] == [3, 4, 4]


def test_a_brush_without_paint_is_left_out(tmp_path):
    """All pixels 0, packed as one long run each 65,536 values."""
    count = SIZE[0] * SIZE[1] * 4
    bits = f"{count:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += f"1{3:02b}{count - 1:016b}{0:08b}"
    packed = [int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)]

    def change(entries: list) -> None:
        entries[0]["brush"][0]["rle"] = packed

    assert kinds(edited(tmp_path, change)) == {"outline": 1}
    assert not brush_of(packed, *SIZE).load().any()


def test_a_brush_takes_no_more_memory_than_its_picture_says():
    packed = brush_of([255] * 100, *SIZE)
    with pytest.raises(DataInvalidError):
        packed.load()
