"""Data with boxes and outlines that do not fit: what is wrong is left out, and named with its file and its object."""

import json
import sys

import pytest

from tests.unit.object_data import SIZE, annotation, coco, image, put, voc_object, write_coco, write_lines, write_voc
from trunkline.cli import main
from trunkline.core.errors import DataInvalidError
from trunkline.core.train_request import TrainRequest
from trunkline.training.data.accept import accept_data
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset

WRONG = {"size": [SIZE[1], SIZE[0]], "counts": [5, 5]}


def problems(root, **options) -> tuple[str, ...]:
    return check_dataset(read_dataset(root, **options), workers=1).problems


def remarks(root, **options) -> list[str]:
    """Of data that can be learned from all the same."""
    report = check_dataset(read_dataset(root, **options), workers=1)
    assert report.problems == ()
    return list(map(str, report.remarks))


def left(root, **options) -> list[str]:
    """The remarks on what is left out."""
    return [line for line in remarks(root, **options) if line.endswith("is left out")]


def test_sound_objects_are_counted_and_are_no_problem(tmp_path):
    report = check_dataset(read_dataset(coco(tmp_path)))
    assert report.problems == ()
    assert report.classes == {"cat": {"train": 1}, "dog": {"train": 1}}
    assert report.objects == {"cat": {"train": 1}, "dog": {"train": 1}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            annotation(5, 1, (50, 10, 20, 16)),
            ("annotation 3 of the list, of images/1.jpg", "outside"),
        ),
        (annotation(5, 1, (-5, 10, 20, 16)), ("annotation 3 of the list", "outside")),
        (annotation(5, 1, (10, 10, 0, 16)), ("annotation 3 of the list", "no area")),
        (annotation(5, 1, (10, 10, 5, -1)), ("annotation 3 of the list", "no area")),
        (annotation(5, 1, (10, 10, 5, float("nan"))), ("annotation 3 of the list", "four numbers")),
        (annotation(5, 1, (10, 10, 5, 10**400)), ("annotation 3 of the list", "[x, y, width, height]")),
        (annotation(5, 1, (10, 10, 5)), ("annotation 3 of the list", "[x, y, width, height]")),
        (annotation(5, 1, category=8), ("annotation 3 of the list, of images/1.jpg", "that of no category")),
        (annotation(5, 3), ("annotation 3 of the list", "no image of its image_id")),
        (annotation(5, 1, segmentation=[[1, 1, 5, 5]]), ("annotation 3 of the list", "2 points")),
        (annotation(5, 1, segmentation=[[1, 1, 5, 5, 9, 9, 8]]), ("annotation 3 of the list", "7 numbers")),
        (annotation(5, 1, segmentation=[[1, 1, 5, 5, 1e9, 9]]), ("annotation 3 of the list", "outside")),
        (annotation(5, 1, segmentation=["x"]), ("annotation 3 of the list", "neither a list of polygons")),
        (
            annotation(5, 1, segmentation={"size": [9, 8], "counts": "0"}),
            ("annotation 3 of the list", "another size"),
        ),
        (annotation(5, 1, segmentation=WRONG), ("images/1.jpg: annotation 3 of the list", "do not fill")),
        (
            annotation(5, 1, segmentation={**WRONG, "counts": "~"}),
            ("images/1.jpg: annotation 3 of the list", "run lengths"),
        ),
    ],
)
def test_an_annotation_of_coco_that_is_wrong_is_left_out_and_named(tmp_path, given, words):
    found = left(coco(tmp_path, annotation(1, 1), annotation(2, 2, category=9), given))
    assert len(found) == 1, found
    assert all(word in found[0] for word in words), found


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([image(1, "images/1.jpg"), image(2, "images/gone.jpg")], ("image 2 of the list", "its picture is missing")),
        ([image(1, "images/1.jpg"), image(2, "../3.jpg")], ("image 2 of the list", "its picture is missing")),
        ([image(1, "images/1.jpg"), image(2, "/3.jpg")], ("image 2 of the list", "is missing")),
        ([image(1, "images/1.jpg"), image(2, "images/2.jpg", (48, 64))], ("images/2.jpg", "another size", "64x48")),
        ([image(1, "images/1.jpg"), {"id": 2}], ("image 2", "no file_name")),
        ([image(1, "images/1.jpg"), "x"], ("image 2 of the list: it has no id",)),
    ],
)
def test_an_image_of_coco_that_is_wrong_is_left_out_and_named(tmp_path, images, words):
    found = left(coco(tmp_path, annotation(1, 1), images=images))
    assert len(found) == 1, found
    assert all(word in found[0] for word in words), found


@pytest.mark.parametrize(
    ("images", "more", "words"),
    [
        ([image(1, "images/1.jpg"), image(1, "images/2.jpg")], (), "image 2 of the list: two images have this id"),
        ([image(1, "images/1.jpg"), image("1", "images/2.jpg")], (), "image 2 of the list: two images have this id"),
        (
            [image(1, "images/1.jpg"), image(2, "./images/1.jpg")],
            (),
            "image 2 of the list: its file is that of image 1 of the list",
        ),
        (None, (annotation(1, 2),), "annotation 2 of the list: two annotations have this id"),
        (None, (annotation("1", 2),), "annotation 2 of the list: two annotations have this id"),
    ],
)
def test_ids_of_coco_that_clash_are_faults(tmp_path, images, more, words):
    assert problems(coco(tmp_path, annotation(1, 1), *more, images=images)) == (f"train.json: {words}",)


def test_annotations_of_an_image_that_is_not_there_are_left_out(tmp_path):
    found = left(coco(tmp_path, annotation(1, 1), annotation(2, 9), annotation(3, 8)))
    assert found == [
        f"train.json: annotation {n} of the list: there is no image of its image_id; the object is left out"
        for n in (2, 3)
    ]


def test_a_picture_outside_of_the_folder_is_not_read(tmp_path):
    put(tmp_path / "3.jpg")
    found = left(coco(tmp_path / "data", images=[image(1, "images/1.jpg"), image(2, "../3.jpg")]))
    assert found == ["train.json: image 2 of the list: its picture is missing; the picture is left out"]


def test_data_of_which_all_objects_are_left_out_is_a_fault(tmp_path):
    root = coco(tmp_path, *(annotation(number, 1, (60, 10, 20, 16)) for number in (1, 2, 3)))
    dataset = read_dataset(root)
    assert [remark.where for remark in dataset.remarks.rows()] == [
        f"train.json: annotation {number} of the list, of images/1.jpg" for number in (1, 2, 3)
    ]
    assert check_dataset(dataset).problems == (
        f"{tmp_path.name}: all 3 objects are left out, the first is train.json: annotation 1 of the list, of "
        "images/1.jpg: the box lies outside of the picture",
    )


def test_a_box_that_sticks_out_by_a_pixel_is_cut_with_a_warning(tmp_path):
    data = read_dataset(coco(tmp_path, annotation(1, 1, (-0.5, 10, 65, 38.5)), annotation(2, 2, (0, 0, 64.001, 48))))
    box = data.samples[0].objects[0].box
    assert (box.x_min, box.x_max, box.y_max) == (0, 64, 48)
    assert data.samples[1].objects[0].box.x_max == 64
    report = check_dataset(data)
    assert report.problems == ()
    assert list(map(str, report.remarks)) == [
        "train.json: annotation 1 of the list, of images/1.jpg: the box sticks out of the picture by 0.5 pixels, "
        "which are cut off"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ('{"images": [', "line 1: not JSON"),
        ('{"images": [], "annotations": []}', "no list 'categories'"),
        ('{"images": [], "annotations": [], "categories": []}', "no categories"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "list of images is empty"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "no whole number as id, or no name"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}',
            "two categories have the same name",
        ),
    ],
)
def test_a_file_of_coco_that_is_broken_is_named(tmp_path, text, words):
    coco(tmp_path)
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(DataInvalidError, match=r"train\.json") as caught:
        read_dataset(tmp_path, task="detection")
    assert words in caught.value.message


def test_two_files_of_one_split_are_too_many_unless_one_is_named(tmp_path):
    coco(tmp_path)
    write_coco(tmp_path / "train_small.json", [image(1, "images/1.jpg")], [annotation(1, 1)])
    with pytest.raises(DataInvalidError, match="name the file to read"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path / "train_small.json").samples) == 1


def test_a_picture_that_exif_turns_is_left_out_or_warned_of(tmp_path):
    coco(tmp_path, images=[image(1, "images/1.jpg", SIZE[::-1]), image(2, "images/2.jpg")])
    put(tmp_path / "images/1.jpg", 1, orientation=6)
    put(tmp_path / "images/2.jpg", 2, orientation=3)
    report = check_dataset(read_dataset(tmp_path))
    assert [remark.kind for remark in report.remarks] == ["other-size"]
    assert "EXIF orientation 6" in report.remarks[0].text
    assert "annotate the upright picture" in report.remarks[0].text
    assert any("images/2.jpg: EXIF orientation 3" in line for line in report.warnings)


def test_an_outline_without_a_pixel_and_a_class_without_a_picture_are_warnings(tmp_path):
    report = check_dataset(
        read_dataset(coco(tmp_path, annotation(1, 1, segmentation=[[10.2, 10.2, 10.4, 10.2, 10.3, 10.4]])))
    )
    assert report.problems == ()
    assert any("annotation 1 of the list: its outline" in line for line in report.warnings)
    assert "class 'dog' has no picture for training" in report.warnings


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ([voc_object("cat", (5, 5, 5, 9))], ("object 1: ", "no area")),
        ([voc_object("cat", (5, 5, 9, 9)), voc_object("cat", (5, 5, 90, 9))], ("object 2: ", "outside")),
        ([voc_object("", (5, 5, 9, 9))], ("object 1", "no name of a class")),
        ([voc_object("cat", ("x", 5, 9, 9))], ("object 1: ", "four numbers")),
        (["<object>"], ("not XML",)),
    ],
)
def test_an_object_of_voc_that_is_wrong_is_left_out_and_named(tmp_path, objects, words):
    for name in "ab":
        put(tmp_path / f"JPEGImages/{name}.jpg")
    write_voc(tmp_path / "Annotations/a.xml", "a.jpg", voc_object("cat", (5, 5, 9, 9)))
    write_voc(tmp_path / "Annotations/b.xml", "b.jpg", *objects)
    found = left(tmp_path)
    assert len(found) == 1, found
    assert all(word in found[0] for word in ("Annotations/b.xml", *words)), found


def test_files_of_voc_that_are_missing_empty_or_of_another_size_are_left_out(tmp_path):
    for name in "ab":
        put(tmp_path / f"images/{name}.jpg")
    write_voc(tmp_path / "annotations/b.xml", "b.jpg", voc_object("cat", (5, 5, 9, 9)))
    put(tmp_path / "images/empty.jpg")
    write_voc(tmp_path / "annotations/a.xml", "a.jpg", voc_object("cat", (5, 5, 9, 9)), size=(80, 48))
    write_voc(tmp_path / "annotations/gone.xml", "gone.jpg", voc_object("cat", (5, 5, 9, 9)))
    (tmp_path / "annotations/empty.xml").write_text("")
    write_lines(tmp_path / "imagesets/train.txt", "a", "gone", "empty", "unknown", "b")
    assert sorted(left(tmp_path)) == [
        "annotations/empty.xml: the file is empty; the picture is left out",
        "annotations/gone.xml: its picture is missing; the picture is left out",
        "images/a.jpg: the annotations are of a picture of another size, this one has 64x48 pixels; the picture is "
        "left out",
        "imagesets/train.txt, line 4: there is no XML file of this picture; the picture is left out",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2 0.5 0.5 0.1 0.1", "its class is not one of 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "its class is not one of 0 to 1"),
        ("0 0.5 0.5 0 0.1", "no area"),
        ("0 0.95 0.5 0.2 0.1", "outside"),
        ("0 320 200 40 40", "outside"),
        ("0 0.5 0.5 0.1", "a polygon has 3 numbers"),
        ("0 0.5 0.5 0.1 0.1 0.9", "a box has 4 numbers after its class"),
        ("0 0.5 0.5", "1 points; 3 is the least"),
        ("0 0.5 0.5 0.9 0.5 0.9 1.5", "a polygon lies outside"),
        ("cat 0.5 0.5 0.1 0.1", "not a number"),
        ("0 nan 0.5 0.1 0.1", "not a number"),
    ],
)
def test_a_line_of_yolo_that_is_wrong_is_left_out_and_named(tmp_path, line, words):
    put(tmp_path / "images/train/a.jpg")
    write_lines(tmp_path / "labels/train/a.txt", "0 0.5 0.5 0.1 0.1", line)
    write_lines(tmp_path / "data.yaml", "train: images/train", "names: [cat, dog]")
    found = left(tmp_path)
    assert len(found) == 1, found
    assert "labels/train/a.txt, line 2: " in found[0]
    assert words in found[0]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["train: images/train", "names: [a, a]"], "the same name"),
        (["train: images/train", "names: {1: a}"], "numbers from 0"),
        (["train: images/other", "names: [a]"], "train names what is not there"),
        (["train: [", "names: [a]"], "not YAML"),
    ],
)
def test_a_description_of_yolo_that_is_wrong_is_named(tmp_path, lines, words):
    put(tmp_path / "images/train/a.jpg")
    write_lines(tmp_path / "data.yaml", *lines)
    with pytest.raises(DataInvalidError, match=r"data\.yaml") as caught:
        read_dataset(tmp_path, task="detection")
    assert words in caught.value.message


def test_texts_of_yolo_without_a_picture_or_a_name_are_named(tmp_path):
    put(tmp_path / "images/a.jpg")
    write_lines(tmp_path / "labels/a.txt", "0 0.5 0.5 0.1 0.1")
    write_lines(tmp_path / "labels/b.txt", "0 0.5 0.5 0.1 0.1")
    with pytest.raises(DataInvalidError, match="names of the classes are missing"):
        read_dataset(tmp_path)
    write_lines(tmp_path / "classes.txt", "cat")
    (tmp_path / "images/broken.jpg").write_text("text")
    assert sorted(left(tmp_path)) == [
        "images/broken.jpg: the picture cannot be read; the picture is left out",
        "labels/b.txt: its picture is missing; the picture is left out",
    ]


def test_the_box_of_an_object_without_an_outline_is_void_in_segmentation(tmp_path):
    coco(tmp_path, annotation(1, 1, segmentation=[[1, 1, 9, 1, 9, 9]]), annotation(2, 2, category=9))
    assert remarks(tmp_path, task="segmentation") == [
        "images/2.jpg: annotation 2 of the list has a box alone; segmentation needs its outline: the box is read as "
        "void"
    ]
    mask = read_dataset(tmp_path, task="segmentation").samples[1].mask.load()
    assert (mask[10:26, 10:30] == 255).all()
    assert (mask == 255).sum() == 20 * 16


def test_a_job_on_faulty_objects_fails_before_a_picture_is_decoded(tmp_path):
    coco(tmp_path / "data", annotation(5, 1, (50, 10, 20, 16)), annotation(6, 2, category=3))
    request = TrainRequest(name="x", data=str(tmp_path / "data"), task="detection")
    with pytest.raises(DataInvalidError, match="annotation 1 of the list"):
        accept_data(request, tmp_path / "work", lambda done, of: pytest.fail("a picture was looked at"))
    assert not (tmp_path / "work").exists()


def test_the_command_shows_objects_and_remarks(tmp_path, monkeypatch, capsys):
    coco(tmp_path, annotation(1, 1), annotation(5, 1, (50, 10, 20, 16)))
    monkeypatch.setattr(sys, "argv", ["trunkline", "data", "check", str(tmp_path), "--task", "detection", "--json"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert not ended.value.code
    document = json.loads(capsys.readouterr().out)
    assert document["objects"] == {"cat": {"train": 1}, "dog": {}}
    assert document["problems"] == []
    assert document["left_out"] == {"object": 1}
    assert document["remarks"] == [
        {
            "kind": "box",
            "where": "train.json: annotation 2 of the list, of images/1.jpg",
            "text": "the box lies outside of the picture",
            "left_out": "object",
        }
    ]


def test_with_strict_the_command_ends_with_status_1_on_remarks(tmp_path, monkeypatch, capsys):
    coco(tmp_path, annotation(1, 1), annotation(5, 1, (50, 10, 20, 16)))
    words = ["trunkline", "data", "check", str(tmp_path), "--task", "detection", "--strict"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    assert "cannot be trained on: 1 problem" in capsys.readouterr().out
