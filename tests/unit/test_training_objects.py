"""Data with boxes and outlines: each layout is read as it is meant."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from tests.unit.object_data import (
    SIZE,
    annotation,
    coco,
    image,
    put,
    voc_object,
    write_coco,
    write_lines,
    write_voc,
)
from trunkline.core.errors import DataInvalidError
from trunkline.core.masks import encode_mask
from trunkline.core.results import Box
from trunkline.training.data.holdout import held_out
from trunkline.training.data.read import read_dataset

SQUARE = [10, 10, 30, 10, 30, 26, 10, 26]
INSIDE = np.zeros(SIZE[::-1], np.bool_)
INSIDE[10:26, 10:30] = True


def refusal(root, **options) -> str:
    with pytest.raises(DataInvalidError) as caught:
        read_dataset(root, **options)
    return caught.value.message


# COCO.


def test_classes_of_coco_are_in_the_order_of_their_ids_and_boxes_end_where_they_say(tmp_path):
    data = read_dataset(coco(tmp_path, annotation(1, 1, (1.5, 2, 10, 20)), annotation(2, 2, category=9, iscrowd=1)))
    assert (data.layout, data.classes, data.faults, data.remarks.total()) == ("coco", ("cat", "dog"), (), 0)
    first, second = data.samples
    assert (first.name, first.split, first.size, first.label) == ("images/1.jpg", "train", SIZE, None)
    assert first.read() == (tmp_path / "images/1.jpg").read_bytes()
    assert (first.objects[0].label, first.objects[0].box) == (0, Box(1.5, 2, 11.5, 22))
    assert (second.objects[0].label, second.objects[0].crowd, first.objects[0].crowd) == (1, True, False)


@pytest.mark.parametrize(
    ("file", "name", "folder", "split"),
    [
        ("instances_val.json", "images/1.jpg", "images", "val"),
        ("annotations/instances_train2017.json", "1.jpg", "train2017", "train"),
        ("annotations/instances_val2017.json", "1.jpg", "images/val2017", "val"),
        ("test/_annotations.coco.json", "1.jpg", "test", "test"),
        ("annotations.json", "1.jpg", "images", ""),
        ("valid.json", "1.jpg", ".", "val"),
    ],
)
def test_files_of_coco_are_found_with_their_pictures(tmp_path, file, name, folder, split):
    put(tmp_path / folder / "1.jpg")
    write_coco(tmp_path / file, [image(1, name)], [annotation(1, 1)])
    data = read_dataset(tmp_path, task="detection")
    assert [(sample.split, len(sample.objects)) for sample in data.samples] == [(split, 1)]
    assert data.samples[0].read()
    assert read_dataset(tmp_path / file, task="detection").samples[0].objects == data.samples[0].objects


def test_files_of_all_splits_make_one_data_set_and_other_json_is_left_alone(tmp_path):
    coco(tmp_path, annotation(1, 1))
    write_coco(tmp_path / "test.json", [image(1, "images/2.jpg")], [], [{"id": 3, "name": "bird"}])
    (tmp_path / "notes.json").write_text("no JSON")
    (tmp_path / "info.json").write_text(json.dumps({"images": 3}))
    data = read_dataset(tmp_path)
    assert data.classes == ("bird", "cat", "dog")
    assert [(sample.split, [each.label for each in sample.objects]) for sample in data.samples] == [
        ("train", [1]),
        ("train", []),
        ("test", []),
    ]


def test_captions_and_keypoints_beside_instances_do_not_count(tmp_path):
    put(tmp_path / "1.jpg")
    for kind in ("instances", "person_keypoints"):
        write_coco(tmp_path / f"annotations/{kind}_val2017.json", [image(1, "1.jpg")], [annotation(1, 1)])
    (tmp_path / "annotations/captions_val2017.json").write_text(json.dumps({"images": [], "annotations": []}))
    assert len(read_dataset(tmp_path).samples) == 1


def test_the_folder_may_be_named_by_a_detour(tmp_path):
    coco(tmp_path / "data")
    (tmp_path / "other").mkdir()
    assert len(read_dataset(tmp_path / "other/../data").samples) == 2


def test_a_picture_whose_size_is_not_declared_is_measured_upright(tmp_path):
    put(tmp_path / "1.jpg", orientation=6)
    write_coco(tmp_path / "train.json", [{"id": 1, "file_name": "1.jpg"}], [annotation(1, 1)])
    assert read_dataset(tmp_path).samples[0].size == SIZE


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        [[10, 10, 30, 10, 30, 18, 10, 18], [10, 18, 30, 18, 30, 26, 10, 26]],
        {"size": [SIZE[1], SIZE[0]], "counts": encode_mask(INSIDE).counts},
        {"size": [SIZE[1], SIZE[0]], "counts": [490, *[16, 32] * 19, 16, 34 * 48 + 22]},
    ],
    ids=["polygon", "two polygons", "compressed", "uncompressed"],
)
def test_outlines_of_coco_become_the_same_pixels(tmp_path, segmentation):
    coco(tmp_path, annotation(1, 1, segmentation=segmentation))
    truth = read_dataset(tmp_path).samples[0].objects[0]
    mask = truth.mask.load()
    assert (mask.dtype, mask.shape) == (np.uint8, SIZE[::-1])
    assert (mask == INSIDE).all()
    assert pickle.loads(pickle.dumps(truth)) == truth


def test_an_outline_may_be_a_value_in_a_mask_file(tmp_path):
    coco(tmp_path, annotation(1, 1, mask_value=3), images=[image(1, "images/1.jpg", mask_file="masks/1.png")])
    (tmp_path / "masks").mkdir()
    Image.fromarray((INSIDE * 3).astype(np.uint8)).save(tmp_path / "masks/1.png")
    assert (read_dataset(tmp_path).samples[0].objects[0].mask.load() == INSIDE).all()


def test_objects_without_splits_are_held_out_by_name(tmp_path):
    for number in range(10):
        put(tmp_path / f"{number}.jpg", number)
    images = [image(number, f"{number}.jpg") for number in range(10)]
    write_coco(tmp_path / "annotations.json", images, [annotation(n, n) for n in range(10)])
    data = held_out(read_dataset(tmp_path, task="detection"))
    assert [len(data.of_split(split)) for split in ("train", "val", "test")] == [7, 1, 2]


def test_labels_of_objects_follow_those_of_a_head(tmp_path):
    sample = read_dataset(coco(tmp_path)).samples[1]
    assert sample.relabelled([4, 2]).objects[0].label == 2
    assert sample.objects[0].label == 1


# Pascal VOC.


def test_boxes_of_voc_count_from_one_and_hold_both_ends(tmp_path):
    for number, split in ((1, "train"), (2, "val"), (3, "test")):
        put(tmp_path / f"JPEGImages/{number}.jpg", number)
        write_lines(tmp_path / f"ImageSets/Main/{split}.txt", f"{number}  1")
        objects = [voc_object("dog", (1, 1, 64, 48)), voc_object("cat", (11, 11, 30, 26), difficult=number - 1)]
        write_voc(tmp_path / f"Annotations/{number}.xml", f"/a/b/{number}.jpg", *objects)
    write_lines(tmp_path / "ImageSets/Main/trainval.txt", "1", "2")
    data = read_dataset(tmp_path)
    assert (data.layout, data.classes, data.faults) == ("voc", ("cat", "dog"), ())
    assert [(sample.name, sample.split) for sample in data.samples] == [
        ("JPEGImages/1.jpg", "train"),
        ("JPEGImages/2.jpg", "val"),
        ("JPEGImages/3.jpg", "test"),
    ]
    dog, cat = data.samples[1].objects
    assert (dog.label, dog.box, dog.crowd) == (1, Box(0, 0, 64, 48), False)
    assert (cat.label, cat.box, cat.crowd) == (0, Box(10, 10, 30, 26), True)


@pytest.mark.parametrize(
    ("xml", "picture", "split"),
    [
        ("annotations_voc/a.xml", "images/a.jpg", ""),
        ("train/a.xml", "train/a.jpg", "train"),
        ("valid/Annotations/a.xml", "valid/images/a.JPG", "val"),
        ("a.xml", "a.jpg", ""),
    ],
)
def test_other_places_of_voc_files_are_known(tmp_path, xml, picture, split):
    put(tmp_path / picture)
    write_voc(tmp_path / xml, "stale name.png", voc_object("cell", (2, 2, 9, 9)), size=(0, 0))
    data = read_dataset(tmp_path, task="detection")
    assert [(sample.name, sample.split, sample.size) for sample in data.samples] == [(picture, split, SIZE)]


def test_voc_files_of_no_list_are_left_out_and_said(tmp_path):
    for name in "ab":
        put(tmp_path / f"images/{name}.jpg")
        write_voc(tmp_path / f"annotations_voc/{name}.xml", f"{name}.jpg", voc_object("cell", (2, 2, 9, 9)))
    write_lines(tmp_path / "imagesets/test.txt", "b")
    data = read_dataset(tmp_path)
    assert [(sample.name, sample.split) for sample in data.samples] == [("images/b.jpg", "test")]
    assert list(map(str, data.remarks.rows())) == [
        "annotations_voc/a.xml: it is in the list of no split; the picture is left out"
    ]


# YOLO.

BOX = "1 0.5 0.5 0.25 0.5"
OUTLINE = "0 " + " ".join(f"{value / side:.6f}" for value, side in zip(SQUARE, (64, 48) * 4, strict=True))


def test_lines_of_yolo_are_shares_of_the_upright_picture(tmp_path):
    put(tmp_path / "images/train/a.jpg", orientation=8)
    put(tmp_path / "images/val/b.jpg", 1)
    write_lines(tmp_path / "labels/train/a.txt", BOX, OUTLINE, "", BOX)
    write_lines(tmp_path / "data.yaml", "path: /elsewhere", "train: images/train", "val: images/val")
    with (tmp_path / "data.yaml").open("a") as file:
        file.write("names:\n  0: cat\n  1: dog\n")
    data = read_dataset(tmp_path)
    assert (data.layout, data.classes, data.faults) == ("yolo", ("cat", "dog"), ())
    assert [(sample.name, sample.split) for sample in data.samples] == [
        ("images/train/a.jpg", "train"),
        ("images/val/b.jpg", "val"),
    ]
    dog, cat = data.samples[0].objects
    assert (dog.label, dog.box, dog.mask) == (1, Box(24, 12, 40, 36), None)
    assert cat.label == 0
    assert (cat.mask.load() == INSIDE).all()
    assert data.samples[1].objects == ()
    assert list(map(str, data.remarks.rows())) == ["labels/train/a.txt, line 4: it is line 1 again and is read once"]


@pytest.mark.parametrize(
    ("picture", "text", "names", "split"),
    [
        ("train/images/a.jpg", "train/labels/a.txt", "data.yaml", "train"),
        ("images/a.jpg", "labels/a.txt", "classes.txt", ""),
        ("images/valid/a.jpg", "labels/valid/a.txt", "labels/classes.txt", "val"),
        ("test/images/a.jpg", "test/labels/a.txt", "classes.txt", "test"),
    ],
)
def test_other_places_of_yolo_files_are_known(tmp_path, picture, text, names, split):
    put(tmp_path / picture)
    write_lines(tmp_path / text, BOX)
    described = ["train: ../train/images", "names: [cat, dog]"] if names == "data.yaml" else ["cat", "dog"]
    write_lines(tmp_path / names, *described)
    data = read_dataset(tmp_path, task="detection")
    assert [(sample.name, sample.split, len(sample.objects)) for sample in data.samples] == [(picture, split, 1)]
    assert data.faults == ()


def test_lists_of_pictures_are_read_too(tmp_path):
    put(tmp_path / "images/a.jpg")
    put(tmp_path / "images/b.jpg", 1)
    write_lines(tmp_path / "labels/b.txt", BOX)
    write_lines(tmp_path / "some.txt", "./images/b.jpg")
    write_lines(tmp_path / "set.yaml", "test: some.txt", "names: [cat, dog]")
    data = read_dataset(tmp_path)
    assert [(sample.name, sample.split) for sample in data.samples] == [("images/b.jpg", "test")]


# Which layout a task takes.


def test_segmentation_paints_larger_objects_first_and_ignores_crowds(tmp_path):
    small = {"bbox": [14, 14, 4, 4], "segmentation": [[14, 14, 18, 14, 18, 18, 14, 18]]}
    many = {"bbox": [20, 20, 4, 4], "segmentation": [[20, 20, 24, 20, 24, 24, 20, 24]], "iscrowd": 1}
    coco(
        tmp_path,
        {**annotation(1, 1, category=9), **small},
        {**annotation(2, 1), **many},
        annotation(3, 1, segmentation=[SQUARE]),
    )
    data = read_dataset(tmp_path, task="segmentation")
    assert data.classes == ("background", "cat", "dog")
    mask = data.samples[0].mask.load(SIZE)
    assert np.unique(mask, return_counts=True)[1].tolist() == [64 * 48 - 320, 320 - 32, 16, 16]
    assert (mask[0, 0], mask[12, 12], mask[15, 15], mask[21, 21]) == (0, 1, 2, 255)
    assert (data.samples[1].mask.load(SIZE) == 0).all()
    assert data.samples[0].relabelled([5, 4, 3]).mask.load()[15, 12:16].tolist() == [4, 4, 3, 3]
    assert pickle.loads(pickle.dumps(data.samples[0].mask)) == data.samples[0].mask


def test_a_class_called_background_is_that_of_pixels_without_an_object(tmp_path):
    coco(
        tmp_path,
        annotation(1, 1, segmentation=[SQUARE]),
        categories=[{"id": 7, "name": "cat"}, {"id": 8, "name": "Background"}],
    )
    data = read_dataset(tmp_path, task="segmentation")
    assert data.classes == ("cat", "Background")
    assert data.samples[0].mask.load()[[0, 12], [0, 12]].tolist() == [1, 0]


def test_a_task_takes_what_it_can_learn_from(tmp_path):
    coco(tmp_path)
    (tmp_path / "counts.csv").write_text("file,n\nimages/1.jpg,2\n")
    assert read_dataset(tmp_path).layout == "coco"
    assert read_dataset(tmp_path, task="detection").layout == "coco"
    assert read_dataset(tmp_path, task="regression").target_names == ("n",)
    assert read_dataset(tmp_path, targets=("n",)).target_names == ("n",)
    assert "boxes alone" in refusal(tmp_path, task="segmentation")
    (tmp_path / "counts.csv").unlink()
    assert "--task detection or segmentation" in refusal(tmp_path, task="classification")


def test_other_xml_and_json_files_are_no_annotations(tmp_path):
    put(tmp_path / "train/a/1.jpg")
    put(tmp_path / "train/b/1.jpg")
    (tmp_path / "annotations.xml").write_text("<annotations><image/></annotations>")
    (tmp_path / "train.json").write_text("[1, 2]")
    (tmp_path / "setup.yaml").write_text("names: x")
    assert read_dataset(tmp_path).layout == "folders"
    assert read_dataset(tmp_path, task="classification").layout == "folders"


def test_pictures_in_folders_have_no_boxes(tmp_path):
    put(tmp_path / "train/a/1.jpg")
    put(tmp_path / "train/b/1.jpg")
    assert "detection needs boxes" in refusal(tmp_path, task="detection")
    assert read_dataset(tmp_path).layout == "folders"


# The real ones.


def test_blood_is_read_from_all_that_lies_there(datasets):
    data = read_dataset(datasets / "bccd", task="detection")
    assert (data.classes, data.faults, data.remarks.total()) == (("RBC", "WBC", "Platelets"), (), 0)
    counts = {split: sum(len(s.objects) for s in data.of_split(split)) for split in ("train", "val", "test")}
    assert counts == {"train": 2804, "val": 1137, "test": 945}
    assert [len(data.of_split(split)) for split in ("train", "val", "test")] == [205, 87, 72]


def test_xml_files_of_blood_say_the_same_but_for_the_two_boxes_without_area(datasets, tmp_path):
    for name in ("images", "annotations_voc", "imagesets"):
        (tmp_path / name).symlink_to(datasets / "bccd" / name)
    data, same = read_dataset(tmp_path), read_dataset(datasets / "bccd")
    assert (data.layout, data.classes) == ("voc", ("Platelets", "RBC", "WBC"))
    assert [len(data.of_split(split)) for split in ("train", "val", "test")] == [205, 87, 72]
    left = [remark for remark in data.remarks.rows() if remark.left_out]
    assert len(left) == 2
    assert all("BloodImage_003" in remark.where and "no area" in remark.text for remark in left)
    assert sum(len(s.objects) for s in data.samples) == sum(len(s.objects) for s in same.samples)


def test_pedestrians_have_the_masks_of_their_mask_files(datasets):
    data = read_dataset(datasets / "pennfudan", task="detection")
    assert (data.classes, data.faults, data.remarks.total()) == (("pedestrian",), (), 0)
    assert sum(len(sample.objects) for sample in data.samples) == 344
    painted = read_dataset(datasets / "pennfudan", task="segmentation")
    for sample, same in list(zip(data.samples, painted.samples, strict=True))[::20]:
        stem = sample.name.removeprefix("images/").removesuffix(".jpg")
        values = np.asarray(Image.open(datasets / f"pennfudan/masks/{stem}.png"))
        union = np.zeros_like(values)
        for each in sample.objects:
            mask = each.mask.load()
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert each.box == Box(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            union |= mask
        assert (union == (values > 0)).all()
        assert (same.mask.load() == union).all()
