"""Boxes of VOC's files count from 1, or from 0 as CVAT and many scripts write them."""

import pytest

pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")

from tests.unit.object_data import put, voc_object, write_voc
from trunkline.training.data.read import read_dataset


def boxes(root) -> dict[str, list[tuple[float, ...]]]:
    data = read_dataset(root, task="detection")
    assert not data.faults
    return {s.name: [tuple(vars(each.box).values()) for each in s.objects] for s in data.samples}


def kinds(root) -> dict[str, int]:
    return {kind.value: n for kind, n in read_dataset(root, task="detection").remarks.counts.items()}


def write(root, *sides: tuple[float, ...]) -> None:
    for number, each in enumerate(sides):
        put(root / f"JPEGImages/{number}.jpg", number)
        write_voc(root / f"Annotations/{number}.xml", f"{number}.jpg", voc_object("cat", each))


def test_from_1(tmp_path):
    write(tmp_path, (1, 1, 9, 9), (10, 10, 20, 20))
    assert boxes(tmp_path) == {"JPEGImages/0.jpg": [(0, 0, 9, 9)], "JPEGImages/1.jpg": [(9, 9, 20, 20)]}
    assert kinds(tmp_path) == {}


def test_one_that_begins_at_0_counts_for_all_and_is_said_once(tmp_path):
    write(tmp_path, (10, 10, 20, 20), (0, 5, 9, 9), (5, 0, 9, 9))
    assert boxes(tmp_path)["JPEGImages/0.jpg"] == [(10, 10, 20, 20)]
    assert boxes(tmp_path)["JPEGImages/1.jpg"] == [(0, 5, 9, 9)]
    assert kinds(tmp_path) == {"box-origin": 1}


def test_a_slip_below_0_says_nothing_of_the_others(tmp_path):
    write(tmp_path, (10, 10, 20, 20), (-5, 5, 9, 9))
    assert boxes(tmp_path)["JPEGImages/0.jpg"] == [(9, 9, 20, 20)]
    assert kinds(tmp_path) == {"box": 1}


def test_what_cvat_wrote_counts_from_0_and_has_pictures_without_objects(tmp_path):
    """It writes labelmap.txt, and no XML file for a picture that has none."""
    write(tmp_path, (10, 10, 20, 20))
    put(tmp_path / "JPEGImages/7.jpg", 7)
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\ncat:1,2,3::\n")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text("0\n7\n8\n")
    assert boxes(tmp_path) == {"JPEGImages/0.jpg": [(10, 10, 20, 20)], "JPEGImages/7.jpg": []}
    assert kinds(tmp_path) == {"picture-missing": 1}
