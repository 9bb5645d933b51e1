"""What other tools write: read where it is without doubt, left out where it is not, and never without a remark."""

import codecs
import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from tests.unit.object_data import (
    CATEGORIES,
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
from trunkline.cli.pictures import find_pictures
from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset
from trunkline.training.data.remarks import Kind, Remarks, lines_of

BOX = "0 0.5 0.5 0.25 0.5"


def kinds(root: Path, task: str | None = "detection") -> set[str]:
    """Of the remarks on data that can be learned from."""
    report = check_dataset(read_dataset(root, task=task), workers=1)
    assert report.problems == ()
    return {remark.kind.value for remark in report.remarks}


def boxes(root: Path) -> list[tuple[str, int, tuple[float, ...]]]:
    return [
        (sample.name, each.label, (each.box.x_min, each.box.y_min, each.box.x_max, each.box.y_max))
        for sample in read_dataset(root, task="detection").samples
        for each in sample.objects
    ]


# Names of pictures, in every layout that names them.


def in_coco(root: Path, name: str) -> None:
    write_coco(root / "train.json", [image(1, name)], [annotation(1, 1)])


def in_csv(root: Path, name: str) -> None:
    put(root / "other.jpg", 3)
    write_lines(root / "labels.csv", "file,label", f'"{name}",a', "other.jpg,b")


def in_pairs(root: Path, name: str) -> None:
    put(root / "other.jpg", 3)
    write_lines(root / "pairs.csv", "a,b,same", f'"{name}",other.jpg,0')


def in_yolo(root: Path, name: str) -> None:
    write_lines(root / "data.yaml", "train: train.txt", "names: [cat, dog]")
    (root / "train.txt").write_text(name + "\n", encoding="utf-8")


def in_voc(root: Path, name: str) -> None:
    write_voc(root / "Annotations/1.xml", name, voc_object("cat", (5, 5, 9, 9)))


TASKS = {in_coco: "detection", in_yolo: "detection", in_csv: "classification", in_pairs: "similarity"}


@pytest.mark.parametrize("write", TASKS)
@pytest.mark.parametrize(
    ("there", "named", "kind"),
    [
        ("images/a b.jpg", "images\\a b.jpg", "name-backslashes"),
        ("images/a b.jpg", "C:\\me\\data\\images\\a b.jpg", "name-backslashes"),
        ("images/a b.jpg", quote("images/a b.jpg"), "name-url-coded"),
        ("images/ü&.jpg", quote("images/ü&.jpg"), "name-url-coded"),
        ("images/a.jpg", "/home/me/data/images/a.jpg", "name-path-end"),
        ("images/a.jpg", "file:///home/me/data/images/a.jpg", "name-path-end"),
        ("images/a.jpg", "https://example.org/files/images/a.jpg", "name-path-end"),
        ("images/a.jpg", "../../images/a.jpg", "name-path-end"),
        ("images/e\u0301.jpg", "images/\u00e9.jpg", "name-unicode-form"),
        ("images/\u00e9.jpg", "images/e\u0301.jpg", "name-unicode-form"),
        ("images/a.JPG", "images/a.jpg", "name-letter-case"),
        ("Images/A.jpg", "images/a.jpg", "name-letter-case"),
    ],
)  # fmt: skip
def test_a_picture_is_found_by_the_name_that_tools_give_it(tmp_path, write, there, named, kind):
    put(tmp_path / there)
    write(tmp_path, named)
    data = read_dataset(tmp_path, task=TASKS[write])
    assert there in {sample.name for sample in data.samples}
    assert {remark.kind.value for remark in data.remarks.rows()} == {kind}
    assert not data.remarks.left_out


@pytest.mark.parametrize("write", TASKS)
def test_an_absolute_path_below_the_data_is_no_remark(tmp_path, write):
    put(tmp_path / "images/a.jpg")
    write(tmp_path, str(tmp_path / "images/a.jpg"))
    data = read_dataset(tmp_path, task=TASKS[write])
    assert "images/a.jpg" in {sample.name for sample in data.samples}
    assert data.remarks.total() == 0


@pytest.mark.parametrize("named", ["images/%41.jpg", "images/a\\b.jpg"])
def test_a_name_as_it_is_goes_before_what_it_may_mean(tmp_path, named):
    put(tmp_path / named)
    put(tmp_path / "images/A.jpg", 1)
    put(tmp_path / "images/a/b.jpg", 2)
    in_coco(tmp_path, named)
    data = read_dataset(tmp_path, task="detection")
    assert [sample.name for sample in data.samples] == [named]
    assert data.remarks.total() == 0


def test_a_picture_is_not_taken_for_another_whose_name_has_the_same_end(tmp_path):
    """One of the two is missing; which one is there, is known of the one that is named as it is."""
    put(tmp_path / "1.jpg")
    put(tmp_path / "2.jpg", 1)
    write_coco(
        tmp_path / "train.json",
        [image(1, "1.jpg"), image(2, "other/1.jpg"), image(3, "x/2.jpg"), image(4, "y/2.jpg")],
        [annotation(number, number) for number in (1, 2, 3, 4)],
    )
    data = read_dataset(tmp_path, task="detection")
    assert [(sample.name, len(sample.objects)) for sample in data.samples] == [("1.jpg", 1)]
    assert [(remark.kind, remark.left_out) for remark in data.remarks.rows()] == [("picture-in-doubt", "picture")] * 3


def test_two_files_that_differ_in_case_are_no_answer(tmp_path):
    for number, name in enumerate(("A.jpg", "a.JPG", "b.jpg")):
        put(tmp_path / name, number)
    write_lines(tmp_path / "labels.csv", "file,label", "A.jpg,x", "b.jpg,y", "a.jpg,x")
    data = read_dataset(tmp_path)
    assert [sample.name for sample in data.samples] == ["A.jpg", "b.jpg"]
    assert data.remarks.left_out == {"picture": 1}


# COCO.


@pytest.mark.parametrize("form", [str, float, lambda number: f"{number}.0"])
def test_ids_are_read_as_texts_and_as_whole_floats(tmp_path, form):
    given = [{**annotation(n, form(n)), "category_id": form(c)} for n, c in ((1, 7), (2, 9))]
    assert kinds(coco(tmp_path, *given)) == {"id-form"}
    assert [label for _, label, _ in boxes(tmp_path)] == [0, 1]
    images = [image(form(number), f"images/{number}.jpg") for number in (1, 2)]
    categories = [{**each, "id": form(each["id"])} for each in CATEGORIES]
    coco(tmp_path, annotation(1, 1), annotation(2, 2, category=9), images=images, categories=categories)
    assert kinds(tmp_path) == {"id-form"}
    assert [label for _, label, _ in boxes(tmp_path)] == [0, 1]


@pytest.mark.parametrize(
    ("given", "crowd"),
    [("0", False), ("1", True), (0.0, False), (1.0, True), ("false", False), ("True", True)],
)
def test_iscrowd_is_read_in_its_other_forms(tmp_path, given, crowd):
    assert kinds(coco(tmp_path, annotation(1, 1, iscrowd=given), annotation(2, 2, category=9))) == {"crowd-form"}
    assert read_dataset(tmp_path).samples[0].objects[0].crowd is crowd


@pytest.mark.parametrize("given", [2, "maybe", [], -1])
def test_an_iscrowd_that_is_neither_leaves_its_object_out(tmp_path, given):
    coco(tmp_path, annotation(1, 1, iscrowd=given), annotation(2, 2))
    data = read_dataset(tmp_path)
    assert [len(sample.objects) for sample in data.samples] == [0, 1]
    assert data.remarks.left_out == {"object": 1}


@pytest.mark.parametrize("size", [(-1, -1), (0, 0), (64, 0), ("64", None), ("a", "b"), (64.5, 48)])
def test_the_size_of_the_picture_counts_where_none_is_declared(tmp_path, size):
    put(tmp_path / "1.jpg")
    write_coco(tmp_path / "train.json", [image(1, "1.jpg", size)], [annotation(1, 1)])
    assert kinds(tmp_path) == {"size-from-picture"}
    assert read_dataset(tmp_path).samples[0].size == SIZE


def test_sizes_and_boxes_as_texts_are_numbers(tmp_path):
    put(tmp_path / "1.jpg")
    given = {**annotation(1, 1), "bbox": ["1.5", "2", "10", "20"], "segmentation": [["1", "2", "9", "2", "9", "9"]]}
    write_coco(tmp_path / "train.json", [image(1, "1.jpg", ("64", "48"))], [given])
    assert kinds(tmp_path) == {"number-as-text"}
    assert boxes(tmp_path) == [("1.jpg", 0, (1.5, 2, 11.5, 22))]


SQUARE = [10, 10, 30, 10, 30, 26, 10, 26]


@pytest.mark.parametrize(
    ("given", "kind", "inside"),
    [
        (SQUARE, "flat-outline", 320),
        ([[x, y] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)], "flat-outline", 320),
        ([SQUARE, [1, 1]], "outline-part", 320),
        ([SQUARE, [1, 1, 2, 2]], "outline-part", 320),
        ([SQUARE, []], "outline-part", 320),
        ([[]], "empty-outline", None),
        ([[], []], "empty-outline", None),
    ],
)
def test_outlines_of_other_shapes_are_read(tmp_path, given, kind, inside):
    coco(tmp_path, annotation(1, 1, segmentation=given), annotation(2, 2, segmentation=[]))
    assert kinds(tmp_path) == {kind}
    mask = read_dataset(tmp_path).samples[0].objects[0].mask
    assert (None if mask is None else int(mask.load().sum())) == inside


@pytest.mark.parametrize("given", [[[1, 1]], [[1, 1, 5, 5]], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], "SRF", [["a"] * 6]])
def test_an_outline_that_is_none_leaves_its_object_out(tmp_path, given):
    coco(tmp_path, annotation(1, 1, segmentation=given), annotation(2, 2))
    assert kinds(tmp_path) == {"outline"}
    assert [len(sample.objects) for sample in read_dataset(tmp_path).samples] == [0, 1]


def test_a_box_that_is_missing_is_that_of_its_outline(tmp_path):
    given = annotation(1, 1, segmentation=[SQUARE])
    del given["bbox"]
    assert kinds(coco(tmp_path, given)) == {"box-from-outline"}
    assert boxes(tmp_path)[0][2] == (10, 10, 30, 26)


def test_an_entry_that_is_there_twice_is_read_once(tmp_path):
    pictures = [image(1, "images/1.jpg"), image(1, "images/1.jpg"), image(2, "images/2.jpg")]
    coco(tmp_path, annotation(1, 1), annotation(1, 1), images=pictures)
    assert kinds(tmp_path) == {"repeated"}
    assert len(boxes(tmp_path)) == 1


def test_a_root_is_no_class_whatever_it_is_called(tmp_path):
    roots = [{"id": 0, "name": "dog", "supercategory": "none"}, {"id": 1, "name": "pets", "supercategory": "dog"}]
    under = [{**each, "supercategory": "pets"} for each in CATEGORIES]
    assert kinds(coco(tmp_path, categories=[*roots, *under])) == {"root-category"}
    assert read_dataset(tmp_path).classes == ("cat", "dog")


def test_a_supercategory_that_is_used_is_a_class(tmp_path):
    under = [{"id": 7, "name": "animal"}, {"id": 9, "name": "dog", "supercategory": "animal"}]
    assert kinds(coco(tmp_path, categories=under)) == set()
    assert read_dataset(tmp_path).classes == ("animal", "dog")


def test_two_used_categories_of_one_name_are_a_fault_and_an_unused_one_goes(tmp_path):
    again = [*CATEGORIES, {"id": 12, "name": "cat"}]
    assert kinds(coco(tmp_path, categories=again)) == {"unused-category"}
    coco(tmp_path, annotation(1, 1), annotation(2, 2, category=12), categories=again)
    with pytest.raises(DataInvalidError, match="two categories have the same name"):
        read_dataset(tmp_path)


# VOC.


def test_the_name_of_a_voc_file_decides_not_what_it_says(tmp_path):
    for number in range(3):
        put(tmp_path / f"JPEGImages/{number}.JPG", number)
        write_voc(tmp_path / f"Annotations/{number}.xml", "0.jpg", voc_object("cat", (5 + number, 5, 20, 20)))
    assert kinds(tmp_path) == {"stale-filename"}
    found = boxes(tmp_path)
    assert [name for name, _, _ in found] == [f"JPEGImages/{number}.JPG" for number in range(3)]
    assert [box[0] for _, _, box in found] == [4, 5, 6]


def test_voc_files_that_are_called_otherwise_share_no_picture(tmp_path):
    put(tmp_path / "JPEGImages/a.jpg")
    put(tmp_path / "JPEGImages/b.jpg", 1)
    for name in ("first", "second"):
        write_voc(tmp_path / f"Annotations/{name}.xml", "a.jpg", voc_object("cat", (5, 5, 20, 20)))
    write_voc(tmp_path / "Annotations/third.xml", "C:\\data\\b.jpg", voc_object("cat", (5, 5, 20, 20)))
    data = read_dataset(tmp_path)
    assert [sample.name for sample in data.samples] == ["JPEGImages/b.jpg"]
    assert [remark.kind for remark in data.remarks.rows()] == ["picture-in-doubt"] * 2


@pytest.mark.parametrize(("given", "crowd"), [("1.0", True), ("true", True), ("-1", False), ("Unspecified", False)])
def test_difficult_is_read_in_its_other_forms(tmp_path, given, crowd):
    put(tmp_path / "a.jpg")
    write_voc(tmp_path / "a.xml", "a.jpg", voc_object("cat", (5, 5, 20, 20), given))
    assert kinds(tmp_path) == {"crowd-form"}
    assert read_dataset(tmp_path).samples[0].objects[0].crowd is crowd


# YOLO.


@pytest.mark.parametrize(
    ("shape", "points"), [("[4, 2]", "0.25 0.35 0.3 0.4 0.6 0.5 0.5 0.7"), ("[1, 3]", "0.5 0.5 2")]
)
def test_the_box_before_key_points_is_read(tmp_path, shape, points):
    put(tmp_path / "images/train/a.jpg")
    write_lines(tmp_path / "labels/train/a.txt", f"{BOX} {points}", "1 0.5 0.5 0.5 0.5")
    write_lines(tmp_path / "data.yaml", "train: images/train", f"kpt_shape: {shape}", "names: [cat, dog]")
    assert kinds(tmp_path) == {"key-points"}
    assert [box for _, _, box in boxes(tmp_path)] == [(24, 12, 40, 36), (16, 12, 48, 36)]
    assert all(each.mask is None for each in read_dataset(tmp_path).samples[0].objects)


def test_a_pose_of_another_shape_is_left_out(tmp_path):
    put(tmp_path / "images/train/a.jpg")
    write_lines(tmp_path / "labels/train/a.txt", BOX, f"{BOX} 0.5 0.5 2 0.1")
    write_lines(tmp_path / "data.yaml", "train: images/train", "kpt_shape: [2, 3]", "names: [cat, dog]")
    assert kinds(tmp_path) == {"entry"}
    assert len(boxes(tmp_path)) == 1


@pytest.mark.parametrize("described", [True, False])
def test_the_lists_of_darknet_are_read(tmp_path, described):
    for number in (1, 2):
        put(tmp_path / f"obj_train_data/{number}.jpg", number)
        write_lines(tmp_path / f"obj_train_data/{number}.txt", BOX)
    if described:
        write_lines(tmp_path / "obj.data", "classes = 2", "train = data/train.txt", "names = data/obj.names")
    write_lines(tmp_path / "obj.names", "cat", "dog")
    write_lines(tmp_path / "train.txt", "data/obj_train_data/1.jpg", "data/obj_train_data/2.jpg")
    assert kinds(tmp_path) == {"name-path-end"}
    assert [name for name, _, _ in boxes(tmp_path)] == ["obj_train_data/1.jpg", "obj_train_data/2.jpg"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_that_is_not_there_is_said(tmp_path, split):
    put(tmp_path / "images/train/a.jpg")
    write_lines(tmp_path / "labels/train/a.txt", BOX)
    write_lines(tmp_path / "data.yaml", "train: images/train", f"{split}: ../{split}/images", "names: [cat, dog]")
    assert kinds(tmp_path) == {"split-missing"}


# Texts.


def in_gb2312(text: str) -> bytes:
    return text.encode("gb2312")


ENCODINGS = {
    "utf-8-sig": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-be": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "utf-16-le without mark": lambda text: text.encode("utf-16-le"),
    "utf-32": lambda text: text.encode("utf-32"),
    "gb2312": in_gb2312,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_texts_in_other_encodings_are_read_in_every_layout(tmp_path, encoding):
    encode, remarks = ENCODINGS[encoding], set() if encoding == "utf-8-sig" else {"text-encoding"}
    for layout in ("csv", "voc", "yolo", "coco"):
        for number, name in enumerate(("a", "b")):
            put(tmp_path / f"{layout}/images/{name}.jpg", number)
    rows = "file,label\nimages/a.jpg,苹果\nimages/b.jpg,香蕉\n"
    (tmp_path / "csv/labels.csv").write_bytes(encode(rows))
    assert kinds(tmp_path / "csv", None) == remarks
    assert set(read_dataset(tmp_path / "csv").classes) == {"苹果", "香蕉"}
    for name in "ab":
        path = write_voc(tmp_path / f"voc/Annotations/{name}.xml", f"{name}.jpg", voc_object("苹果", (5, 5, 9, 9)))
        path.write_bytes(encode(path.read_text()))
    assert kinds(tmp_path / "voc") == remarks
    assert read_dataset(tmp_path / "voc").classes == ("苹果",)
    (tmp_path / "yolo/labels").mkdir()
    (tmp_path / "yolo/labels/a.txt").write_bytes(encode(f"{BOX} \n"))
    (tmp_path / "yolo/data.yaml").write_bytes(encode("train: images\nnames: [苹果, 香蕉]\n"))
    assert kinds(tmp_path / "yolo") == remarks
    assert read_dataset(tmp_path / "yolo").classes == ("苹果", "香蕉")
    path = write_coco(tmp_path / "coco/train.json", [image(1, "images/a.jpg")], [annotation(1, 1)])
    path.write_bytes(encode(json.dumps({**json.loads(path.read_text()), "info": "苹果"}, ensure_ascii=False)))
    assert kinds(tmp_path / "coco") == remarks


def test_a_text_that_is_cut_within_a_letter_is_no_text(tmp_path):
    """The header of a long one is read from its start alone, which may be cut there too."""
    (tmp_path / "labels.csv").write_bytes("file,label\na.jpg,x\n".encode("utf-16-le") + b"\n")
    with pytest.raises(DataInvalidError, match="save it as UTF-8"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("name", ["GB2312", "gbk", "GB18030", "big5", "shift_jis", "windows-1252", "UTF-8"])
def test_an_xml_file_is_read_by_the_encoding_that_it_declares(tmp_path, name):
    word = "caf\xe9" if name == "windows-1252" else "中"
    put(tmp_path / "a.jpg")
    path = write_voc(tmp_path / "a.xml", "a.jpg", voc_object(word, (5, 5, 9, 9)))
    path.write_bytes(f'<?xml version="1.0" encoding="{name}"?>\n{path.read_text()}'.encode(name))
    assert read_dataset(tmp_path).classes == (word,)
    assert kinds(tmp_path) == (set() if name == "UTF-8" else {"text-encoding"})


@pytest.mark.parametrize("text", ["Müller", "crème brûlée", "naïve"])
def test_a_text_of_the_west_that_is_not_utf_8_is_in_doubt(tmp_path, text):
    put(tmp_path / "a.jpg")
    (tmp_path / "labels.csv").write_bytes(f"file,label\na.jpg,{text}\n".encode("latin-1"))
    with pytest.raises(DataInvalidError, match="line 2: the text is not UTF-8: save it as UTF-8"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_with_other_separators_are_read(tmp_path, separator):
    put(tmp_path / "a.jpg")
    put(tmp_path / "b.jpg", 1)
    rows = (separator.join(row) for row in (("file", "label"), ("a.jpg", "x, y"), ("b.jpg", "z")))
    write_lines(tmp_path / "labels.csv", *rows)
    assert kinds(tmp_path, None) == {"table-separator"}
    assert read_dataset(tmp_path).classes == ("x, y", "z")


BREAKS = ("\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")


@pytest.mark.parametrize("end", BREAKS, ids=ascii)
def test_line_breaks_in_names_of_classes_are_blanks_in_every_layout(tmp_path, end):
    assert len(f"a{end}b".splitlines()) == 2
    name = f"big{end}pear"
    for layout in ("csv", "coco", "folders", "yolo", "masks"):
        for number in (1, 2):
            put(tmp_path / layout / f"images/{number}.jpg", number)
    (tmp_path / "csv/labels.csv").write_text(
        f'file,label\nimages/1.jpg,"{name}"\nimages/2.jpg,apple\n', encoding="utf-8", newline=""
    )
    write_coco(
        tmp_path / "coco/train.json",
        [image(1, "images/1.jpg")],
        [annotation(1, 1)],
        [{"id": 9, "name": "apple"}, {"id": 7, "name": name}],
    )
    put(tmp_path / f"folders/big{end}pear/1.jpg")
    write_lines(tmp_path / "yolo/labels/1.txt", BOX)
    escaped = json.dumps(name)
    write_lines(tmp_path / "yolo/data.yaml", "train: images", f"names: [{escaped}, apple]")
    for number in (1, 2):
        path = tmp_path / f"masks/masks/{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full(SIZE[::-1], number - 1, np.uint8)).save(path)
    (tmp_path / "masks/classes.csv").write_text(
        f'class_id,class_name\n0,"{name}"\n1,apple\n', encoding="utf-8", newline=""
    )
    for layout in ("csv", "coco", "folders", "yolo", "masks"):
        data = read_dataset(tmp_path / layout)
        assert "big pear" in data.classes, layout
        assert "\n".join(data.classes).splitlines() == list(data.classes), layout
        assert {remark.kind for remark in data.remarks.rows()} == {Kind.LINE_BREAK}, layout


@pytest.mark.parametrize("end", BREAKS[3:], ids=ascii)
def test_lists_of_names_end_their_lines_as_files_do(tmp_path, end):
    put(tmp_path / "images/1.jpg")
    write_lines(tmp_path / "labels/1.txt", "1 0.5 0.5 0.25 0.5")
    (tmp_path / "classes.txt").write_text(f"big{end}pear\r\napple\r\n", encoding="utf-8", newline="")
    assert read_dataset(tmp_path).classes == ("big pear", "apple")


def test_classes_that_are_one_once_line_breaks_are_blanks_are_joined_where_they_have_no_ids(tmp_path):
    for number in range(3):
        put(tmp_path / f"{number}.jpg", number)
    (tmp_path / "labels.csv").write_text('file,label\n0.jpg,"a\nb"\n1.jpg,a b\n2.jpg,c\n')
    data = read_dataset(tmp_path)
    assert [data.classes[sample.label] for sample in data.samples] == ["a b", "a b", "c"]
    names = [{"id": 7, "name": "a\nb"}, {"id": 9, "name": "a b"}]
    with pytest.raises(DataInvalidError, match="two classes have the same name"):
        read_dataset(coco(tmp_path / "coco", categories=names))


# Pictures and masks.


def test_there_is_one_list_of_suffixes(tmp_path):
    for number, suffix in enumerate(sorted(PICTURE_SUFFIXES)):
        for form in (suffix, suffix.upper()):
            put(tmp_path / f"{'ab'[number % 2]}/{number}{form}", number)
    assert len(read_dataset(tmp_path).samples) == len(find_pictures([tmp_path])) == 2 * len(PICTURE_SUFFIXES)
    assert ".jfif" in PICTURE_SUFFIXES


def mask(path: Path, values: np.ndarray, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).convert(mode).save(path)


def masked(root: Path, *classes: str, name: str = "1.png", high: int = 255, mode: str = "L") -> Path:
    """Two pictures whose masks are 0 above and `high` below."""
    write_lines(root / "classes.csv", "class_id,class_name", *classes)
    values = np.zeros(SIZE[::-1], np.uint8)
    values[24:] = high
    for number in ("1", "2"):
        put(root / f"images/{number}.jpg", int(number))
        mask(root / "masks" / name.replace("1", number), values, mode)
    return root


@pytest.mark.parametrize(
    ("classes", "options", "kind"),
    [
        (("0,sky", "255,road"), {}, set()),
        (("0,sky", "1,road"), {}, {"mask-form"}),
        (("0,sky", "1,road", "255,void"), {"high": 1}, set()),
        (("0,sky", "255,road"), {"mode": "1"}, {"mask-form"}),
        (("0,sky", "255,road"), {"mode": "RGB"}, {"mask-form"}),
        (("0,sky", "255,road"), {"mode": "RGBA"}, {"mask-form"}),
        (("0,sky", "255,road"), {"mode": "LA"}, {"mask-form"}),
        (("0.0,sky", "1.0,road"), {"high": 1}, set()),
        (("0,sky", "1,road"), {"high": 1, "name": "1.PNG"}, set()),
        (("0,sky", "1,road"), {"high": 1, "name": "1_mask.png"}, {"mask-name"}),
        (("0,sky", "1,road"), {"high": 1, "name": "1_segmentation.PNG"}, {"mask-name"}),
        (("0,sky", "1,road"), {"high": 1, "name": "1.bmp"}, set()),
    ],
)
def test_masks_are_read_as_tools_write_them(tmp_path, classes, options, kind):
    assert kinds(masked(tmp_path, *classes, **options), "segmentation") == kind
    labels = read_dataset(tmp_path).samples[0].mask.load(SIZE)
    assert (labels[:24] == 0).all()
    assert (labels[24:] == 1).all()


def test_255_stays_void_where_the_masks_hold_1_too(tmp_path):
    masked(tmp_path, "0,sky", "1,road")
    mask(tmp_path / "masks/2.png", np.ones(SIZE[::-1], np.uint8))
    data = read_dataset(tmp_path)
    assert data.remarks.total() == 0
    assert (data.samples[0].mask.load()[24:] == 255).all()


def test_masks_in_colours_or_as_jpeg_leave_their_pictures_out(tmp_path):
    masked(tmp_path, "0,sky", "1,road", high=1)
    values = np.zeros((*SIZE[::-1], 3), np.uint8)
    values[..., 0] = 7
    Image.fromarray(values).save(tmp_path / "masks/2.png")
    put(tmp_path / "images/3.jpg", 3)
    put(tmp_path / "masks/3.jpg", 3)
    report = check_dataset(read_dataset(tmp_path))
    assert [(remark.kind, remark.where) for remark in report.remarks] == [
        ("mask", "images/3.jpg"),
        ("mask", "images/2.jpg"),
    ]
    assert "JPEG" in report.remarks[0].text
    assert report.splits == {"": 1}


@pytest.mark.parametrize("mode", ["P", "RGB"])
@pytest.mark.parametrize("named", [True, False])
def test_the_masks_of_voc_are_read_by_their_colours(tmp_path, mode, named):
    cat, border = (64, 0, 0), (224, 224, 192)  # class 8 of VOC
    values = np.zeros((*SIZE[::-1], 3), np.uint8)
    values[10:20, 10:20], values[30:, :] = cat, border
    for number in (1, 2):
        put(tmp_path / f"JPEGImages/{number}.jpg", number)
        picture = Image.fromarray(values)
        path = tmp_path / f"SegmentationClass/{number}.png"
        path.parent.mkdir(exist_ok=True)
        (picture if mode == "RGB" else picture.quantize(8)).save(path)
    if named:
        write_lines(
            tmp_path / "labelmap.txt", "# label:color_rgb:parts:actions", "background:0,0,0::", "cat:64,0,0::"
        )
    write_lines(tmp_path / "ImageSets/Segmentation/train.txt", "1")
    write_lines(tmp_path / "ImageSets/Segmentation/val.txt", "2")
    data = read_dataset(tmp_path, task="segmentation")
    assert [(sample.name, sample.split) for sample in data.samples] == [
        ("JPEGImages/1.jpg", "train"),
        ("JPEGImages/2.jpg", "val"),
    ]
    assert data.classes[8 if not named else 1] == "cat"
    labels = data.samples[0].mask.load(SIZE)
    assert (labels[10:20, 10:20] == (1 if named else 8)).all()
    assert (labels[30:] == 255).all()
    assert labels[0, 0] == 0
    with pytest.raises(DataInvalidError, match="which are for --task segmentation"):
        read_dataset(tmp_path, task="classification")


def test_segmentation_wants_masks(tmp_path):
    for number, name in enumerate("ab"):
        put(tmp_path / f"{name}/1.jpg", number)
    with pytest.raises(DataInvalidError, match="no masks and no outlines"):
        read_dataset(tmp_path, task="segmentation")


# What is kept of remarks.


def test_remarks_are_counted_and_bounded():
    remarks = Remarks()
    for number in range(5000):
        remarks.leave_out("object", Kind.BOX, f"a.json: annotation {number}", "the box has no area")
        remarks.fault(f"{number}", "x")
    assert (len(remarks.rows()), remarks.counts[Kind.BOX], remarks.left_out["object"]) == (1000, 5000, 5000)
    shown = list(lines_of(remarks.rows(), remarks.counts, 3))
    assert shown[0] == "a.json: annotation 0: the box has no area; the object is left out"
    assert shown[3:] == ["and 4997 more of kind box"]
    both = remarks.copy()
    both.extend(remarks)
    assert (len(both.rows()), both.counts[Kind.BOX], len(both.faults)) == (1000, 10_000, 10_000)
