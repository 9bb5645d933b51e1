"""Data with named points: COCO's keypoints, YOLO's poses and tables are read as they are meant, and by the rule."""

import io
import json
import pickle

import pytest
from PIL import Image

from tests.unit.object_data import SIZE, put, write_lines
from trunkline.core.errors import DataInvalidError
from trunkline.core.results import Box
from trunkline.training.data.check import check_dataset
from trunkline.training.data.holdout import held_out
from trunkline.training.data.points import Place, flips_by_name
from trunkline.training.data.read import read_dataset

NAMES = ["nose", "left_eye", "right_eye"]
POINTS = [20, 10, 2, 30, 12, 1, 0, 0, 0]
BOX = "0 0.5 0.5 0.5 0.5"  # 16..48, 12..36
YAML = ("train: images/train", "names: [face]", "kpt_shape: [3, 3]", "kpt_names: {0: [nose, left_eye, right_eye]}")


def read(root):
    return read_dataset(root, task="keypoints")


def refusal(root) -> str:
    with pytest.raises(DataInvalidError) as caught:
        read(root)
    return caught.value.message


def kinds(dataset) -> set[str]:
    return {str(kind) for kind in dataset.remarks.counts}


def places(sample) -> list[tuple[int, float, float, bool]]:
    return [(each.label, each.x, each.y, each.seen) for each in sample.points.places]


def person(number: int, image: int = 1, keypoints=POINTS, box=(16, 4, 24, 20), **more) -> dict:
    return {"id": number, "image_id": image, "category_id": 1, "bbox": box, "keypoints": keypoints, **more}


def coco(root, *annotations, images=1, name="annotations/person_keypoints_train.json", **category):
    for number in range(1, images + 1):
        put(root / f"images/{number}.jpg", number)
    kinds_of = {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]], **category}
    document = {
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "width": SIZE[0], "height": SIZE[1]}
            for number in range(1, images + 1)
        ],
        "annotations": list(annotations),
        "categories": [kinds_of],
    }
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(document))
    return root


def yolo(root, *lines, described=YAML):
    put(root / "images/train/a.jpg")
    write_lines(root / "labels/train/a.txt", *lines)
    write_lines(root / "data.yaml", *described)
    return root


def table(root, *rows, header="file,nose_x,nose_y,left_eye_x,left_eye_y,right_eye_x,right_eye_y"):
    for name in "ab":
        put(root / f"{name}.jpg", ord(name))
    write_lines(root / "labels.csv", header, *rows)
    return root


# COCO.


def test_points_of_coco_have_names_visibility_and_a_skeleton(tmp_path):
    data = read(coco(tmp_path, person(1)))
    assert (data.layout, data.classes, data.faults, data.remarks.total()) == ("coco", tuple(NAMES), (), 0)
    (sample,) = data.samples
    assert places(sample) == [(0, 20, 10, True), (1, 30, 12, False)]
    assert (sample.labels, sample.split, sample.points.box) == ((0, 1), "train", Box(16, 4, 40, 24))
    assert sample.points.scheme.skeleton == (("nose", "left_eye"), ("nose", "right_eye"))
    assert sample.points.scheme.flips == (("left_eye", "right_eye"),)
    assert pickle.loads(pickle.dumps(sample)) == sample


def test_files_of_keypoints_count_before_those_of_objects(tmp_path):
    coco(tmp_path, person(1))
    instances = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "annotations/instances_train.json").write_text(json.dumps(instances))
    assert len(read(tmp_path).samples) == 1


def test_of_several_objects_each_is_cut_out_a_quarter_larger(tmp_path):
    data = read(coco(tmp_path, person(1), person(2, box=(0, 0, 16, 16), keypoints=[8, 8, 2, *POINTS[3:]])))
    first, second = data.samples
    assert [each.name for each in data.samples] == [
        "images/1.jpg#annotation 1 of the list",
        "images/1.jpg#annotation 2 of the list",
    ]
    assert (first.size, second.size) == ((30, 26), (18, 18))
    assert places(first)[0] == (0, 20 - 13, 10 - 1, True)
    assert first.points.box == Box(3, 3, 27, 23)
    part = Image.open(io.BytesIO(first.read()))
    whole = Image.open(tmp_path / "images/1.jpg").crop((13, 1, 43, 27))
    assert part.tobytes() == whole.tobytes()
    assert not check_dataset(data).broken


def test_parts_of_a_picture_stay_in_one_split(tmp_path):
    people = [person(2 * image + twin, image) for image in range(1, 21) for twin in (0, 1)]
    data = held_out(read(coco(tmp_path, *people, images=20, name="annotations/all.json")))
    splits = {(each.part_of, each.split) for each in data.samples}
    assert len(splits) == 20
    assert {split for _, split in splits} == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("keypoints", "kind", "left"),
    [
        (POINTS[:-1], "entry", 1),
        ([*POINTS[:-1], "x"], "entry", 1),
        ("none", "entry", 1),
        ([20, 10, 5, *POINTS[3:]], "point", 0),
        ([20, 10_000, 2, *POINTS[3:]], "point", 0),
    ],
)
def test_wrong_points_of_coco_are_left_out_with_a_remark(tmp_path, keypoints, kind, left):
    data = read(coco(tmp_path, person(1, keypoints=keypoints), person(2, 2), images=2))
    assert kind in kinds(data)
    assert data.remarks.left_out["object"] == left
    assert [place for each in data.samples for place in places(each)][-1] == (1, 30, 12, False)
    assert any("annotation 1 of the list" in str(row) for row in data.remarks.rows())


def test_a_line_of_the_skeleton_that_is_none_is_left_out(tmp_path):
    data = read(coco(tmp_path, person(1), skeleton=[[1, 2], [1, 9], 3]))
    assert kinds(data) == {"skeleton"}
    assert data.samples[0].points.scheme.skeleton == (("nose", "left_eye"),)


def test_crowds_and_objects_without_any_point_teach_nothing(tmp_path):
    data = read(coco(tmp_path, person(1, iscrowd=1), person(2, keypoints=[0] * 9), person(3)))
    assert [places(each)[0] for each in data.samples] == [(0, 20, 10, True)]
    assert data.remarks.total() == 0


def test_coco_without_names_of_points_is_refused(tmp_path):
    assert "no category has keypoints" in refusal(coco(tmp_path, person(1), keypoints=None))
    assert "not texts, each another one" in refusal(coco(tmp_path, person(1), keypoints=["a", "a"]))


# YOLO.


def test_poses_of_yolo_have_points_in_shares_of_the_picture(tmp_path):
    data = read(yolo(tmp_path, f"{BOX} 0.5 0.25 2 0.625 0.5 1 0 0 0"))
    assert (data.layout, data.classes, data.remarks.total()) == ("yolo", tuple(NAMES), 0)
    (sample,) = data.samples
    assert places(sample) == [(0, 32, 12, True), (1, 40, 24, False)]
    assert sample.points.box == Box(16, 12, 48, 36)


def test_points_without_visibility_and_names_are_numbered(tmp_path):
    described = ("train: images/train", "names: [face]", "kpt_shape: [3, 2]", "flip_idx: [0, 2, 1]")
    data = read(yolo(tmp_path, f"{BOX} 0.5 0.25 -1 -1 0 0", described=described))
    assert data.classes == ("0", "1", "2")
    assert places(data.samples[0]) == [(0, 32, 12, True)]
    assert data.samples[0].points.scheme.flips == (("1", "2"),)
    assert kinds(data) == {"point"}


def test_lines_of_another_shape_are_left_out(tmp_path):
    data = read(yolo(tmp_path, f"{BOX} 0.5 0.25 2", f"{BOX} 0.5 0.25 2 0.6 0.5 1 0 0 0"))
    assert (kinds(data), data.remarks.left_out["object"], len(data.samples)) == ({"entry"}, 1, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("kpt_shape: [100000000, 3]", "the limit is 10000"),
        ("flip_idx: [0, 1]", "flip_idx"),
        ("flip_idx: [1, 2, 0]", "flip_idx"),
        ("kpt_names: [a, b]", "kpt_names"),
        ("kpt_names: [a, b, b]", "kpt_names"),
    ],
)
def test_a_description_that_contradicts_itself_is_a_fault(tmp_path, line, reason):
    shape = [] if line.startswith("kpt_shape") else ["kpt_shape: [3, 3]"]
    described = ("train: images/train", "names: [face]", *shape, line)
    assert reason in refusal(yolo(tmp_path, f"{BOX} 0.5 0.25 2 0.6 0.5 1 0 0 0", described=described))


def test_boxes_alone_are_no_points(tmp_path):
    assert "kpt_shape" in refusal(yolo(tmp_path, BOX, described=YAML[:2]))
    described = ("train: images/train", "names: [face]", "kpt_shape: [3, 3]")
    assert "no object has a point" in refusal(yolo(tmp_path / "other", BOX, described=described))


# Tables.


def test_points_of_a_table_are_named_by_its_columns(tmp_path):
    data = read(table(tmp_path, "a.jpg,10,20.5,30,22,,", "b.jpg,-5,20,30,22,40,23"))
    assert (data.layout, data.classes, data.remarks.total()) == ("csv", tuple(NAMES), 0)
    first, second = data.samples
    assert places(first) == [(0, 10, 20.5, True), (1, 30, 22, True)]
    assert places(second)[0] == (0, -5, 20, True)
    assert first.points.box == Box(10, 20.5, 30, 22)
    assert first.points.scheme.flips == (("left_eye", "right_eye"),)


def test_points_may_be_numbered_and_hidden(tmp_path):
    data = read(table(tmp_path, "a.jpg,10,20,1,30,22,0,test", header="file,x1,y1,v1,x2,y2,v2,split"))
    (sample,) = data.samples
    assert (data.classes, places(sample), sample.split) == (("1", "2"), [(0, 10, 20, False)], "test")
    assert sample.points.scheme.flips is None


def test_a_file_beside_the_table_says_what_it_does_not(tmp_path):
    root = table(tmp_path, "a.jpg,10,20,30,22", header="file,x1,y1,x2,y2")
    beside = {"flip": [["1", "2"]], "skeleton": [["2", "1"]], "distance": ["1", "2"]}
    (root / "points.json").write_text(json.dumps(beside))
    scheme = read(root).samples[0].points.scheme
    assert (scheme.flips, scheme.skeleton, scheme.distance) == ((("1", "2"),), (("2", "1"),), ("1", "2"))


@pytest.mark.parametrize(
    "beside", [{"flip": [["1", "9"]]}, {"distance": ["1", "1"]}, {"other": 1}, [], {"skeleton": "1"}, {"flip": [1]}]
)
def test_a_file_beside_the_table_that_does_not_fit_is_a_fault(tmp_path, beside):
    root = table(tmp_path, "a.jpg,10,20,30,22", header="file,x1,y1,x2,y2")
    (root / "points.json").write_text(json.dumps(beside))
    assert "points.json" in refusal(root)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("b.jpg,10,,30,22,40,23", "row"),
        ("b.jpg,10,wide,30,22,40,23", "row"),
        ("b.jpg,,,,,,", "not-labelled"),
        ("c.jpg,10,20,30,22,40,23", "picture-missing"),
        ("a.jpg,11,20,30,22,40,23", "picture-in-doubt"),
    ],
)
def test_a_wrong_row_is_left_out(tmp_path, row, kind):
    data = read(table(tmp_path, "a.jpg,10,20,30,22,40,23", row, "b.jpg,1,2,3,4,5,6"))
    assert kinds(data) == {kind}
    assert data.samples[-1].name == "b.jpg"
    assert data.remarks.left_out["picture"] == 1


def test_a_table_without_points_is_refused(tmp_path):
    assert "columns x1,y1" in refusal(table(tmp_path, "a.jpg,cat", header="file,label"))
    (tmp_path / "nothing").mkdir()
    assert "no named points" in refusal(tmp_path / "nothing")


def test_other_tasks_read_the_same_data_as_before(tmp_path):
    data = read_dataset(coco(tmp_path, person(1)), task="detection")
    assert data.classes == ("person",)
    assert data.samples[0].objects[0].points is None


@pytest.mark.parametrize(
    ("names", "flips"),
    [
        (("left_eye", "right_eye", "nose"), (("left_eye", "right_eye"),)),
        (("LeftHip", "RightHip"), (("LeftHip", "RightHip"),)),
        (("l-ear", "r-ear"), (("l-ear", "r-ear"),)),
        (("left_eye", "nose"), ()),
        (("0", "1"), None),
        (("lens", "rim"), None),
    ],
)
def test_pairs_follow_from_names_with_sides(names, flips):
    assert flips_by_name(names) == flips


def test_labels_of_points_follow_those_of_the_head(tmp_path):
    (sample,) = read(table(tmp_path, "a.jpg,10,20,30,22,,")).samples
    assert sample.relabelled([2, 0, 1]).points.places == (Place(2, 10, 20), Place(0, 30, 22))
