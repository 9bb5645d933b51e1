"""Data sets are read as they lie, and what is wrong with them is named by file and line."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trunkline.core.errors import DataInvalidError
from trunkline.core.images import decode_image
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset


def picture(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour, colour, colour)).save(path)
    return path


def table(folder: Path, text: str, files: str = "a b c", name: str = "labels.csv") -> Path:
    for number, file in enumerate(files.split()):
        picture(folder / f"{file}.png", 10 * number)
    (folder / name).write_text(text)
    return folder


def test_a_folder_for_each_class_is_a_data_set(tmp_path):
    for name in ("owl", "cat"):
        picture(tmp_path / name / "1.png")
    found = read_dataset(tmp_path)
    assert (found.layout, found.classes) == ("folders", ("cat", "owl"))
    assert [(sample.name, sample.label, sample.split) for sample in found.samples] == [
        ("cat/1.png", 0, ""),
        ("owl/1.png", 1, ""),
    ]


def test_folders_of_classes_may_lie_below_splits(tmp_path):
    for split in ("train", "val", "test"):
        for name in ("cat", "owl"):
            picture(tmp_path / split / name / "1.png")
    found = read_dataset(tmp_path)
    assert {sample.split for sample in found.samples} == {"train", "val", "test"}
    assert len(found.of_split("train", "val")) == 4


def test_a_table_of_labels_is_a_classification(tmp_path):
    found = read_dataset(table(tmp_path, "file,label,split\na.png,owl,train\nb.png,cat,val\n"))
    assert found.classes == ("cat", "owl")
    assert [(sample.label, sample.split) for sample in found.samples] == [(1, "train"), (0, "val")]
    assert found.samples[0].read() == (tmp_path / "a.png").read_bytes()


def test_a_table_of_numbers_is_a_regression(tmp_path):
    folder = table(tmp_path, "file,angle,size,split\na.png,1.5,3,train\nb.png,-2,4,test\n")
    assert read_dataset(folder).target_names == ("angle", "size")
    assert read_dataset(folder).samples[1].targets == (-2.0, 4.0)
    assert read_dataset(folder, target="size").samples[0].targets == (3.0,)


def test_classes_with_numbers_come_in_the_order_of_their_numbers(tmp_path):
    text = "file,class_id,class_name,split\na.png,10,aster,train\nb.png,2,rose,test\n"
    assert read_dataset(table(tmp_path, text)).classes == ("rose", "aster")


def test_idx_files_are_digits_with_a_picture_each(tmp_path):
    for part, count in (("train12k", 3), ("t10k", 2)):
        digits = np.arange(count * 28 * 28, dtype=np.uint32).astype(np.uint8)
        images = struct.pack(">IIII", 2051, count, 28, 28) + digits.tobytes()
        labels = struct.pack(">II", 2049, count) + bytes(range(count))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    found = read_dataset(tmp_path)
    assert found.classes == tuple("0123456789")
    assert [sample.split for sample in found.samples] == ["train"] * 3 + ["test"] * 2
    pixels = np.asarray(decode_image(found.samples[1].read()))[..., 0]
    assert (pixels == (np.arange(784, 1568) % 256).reshape(28, 28)).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file,label\na.png,cat\nz.png,owl\n", r"line 3: z\.png is missing"),
        ("file,label\na.png,cat\n../b.png,owl\n", r"line 3: \.\./b\.png leaves the folder"),
        ("file,label\na.png,cat\nb.png,owl\na.png,owl\n", r"line 4: a\.png is also on line 2, with another label"),
        ("file,label,split\na.png,cat,train\nb.png,owl,later\n", "line 3: the split 'later' is none of"),
        ("file,angle\na.png,1\nb.png,north\n", "line 3: 'north' in column 'angle' is no number"),
        ("file,label\na.png,cat\nb.png,\n", "line 3: the label is empty"),
        ("file,label\na.png,cat\nb.png,cat\n", "two"),
        ("picture,label\na.png,cat\n", "no column 'file'"),
    ],
)
def test_a_fault_in_a_table_is_named_with_its_line(tmp_path, text, reason):
    with pytest.raises(DataInvalidError, match=reason):
        read_dataset(table(tmp_path, text))


def test_a_folder_of_no_known_layout_says_which_are_known(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataInvalidError, match="folder per class"):
        read_dataset(tmp_path)
    with pytest.raises(DataInvalidError, match="no such folder"):
        read_dataset(tmp_path / "none")


def test_a_check_counts_and_names_what_is_wrong(tmp_path):
    for split, count in (("train", 6), ("test", 2)):
        for offset, name in enumerate(("cat", "owl")):
            for number in range(count):
                picture(tmp_path / split / name / f"{number}.png", 100 * (split == "test") + 20 * number + offset)
    picture(tmp_path / "test/cat/same.png", 0)  # the same picture as train/cat/0.png
    (tmp_path / "train/owl/broken.png").write_bytes(b"no picture")
    picture(tmp_path / "train/yak/0.png", 77)
    report = check_dataset(read_dataset(tmp_path))
    assert report.splits == {"train": 14, "test": 5}
    assert report.classes["owl"] == {"train": 7, "test": 2}
    assert [broken.name for broken in report.broken] == ["train/owl/broken.png"]
    assert report.problems[0].startswith("train/owl/broken.png: not a picture")
    assert report.few == ("yak",)
    assert any("same.png" in text and "different splits" in text for text in report.warnings)
    assert any("'yak' has 1" in text for text in report.warnings)


def test_a_good_data_set_has_no_problems(tmp_path):
    for offset, name in enumerate(("cat", "owl")):
        for number in range(6):
            picture(tmp_path / name / f"{number}.png", 20 * number + offset)
    report = check_dataset(read_dataset(tmp_path))
    assert (report.problems, report.warnings, report.broken) == ((), (), ())


@pytest.mark.parametrize(
    ("folder", "splits", "classes"),
    [
        ("flowers102", {"train": 1020, "val": 1020, "test": 4978}, 102),
        ("pets", {"train": 444, "test": 296}, 37),
        ("mnist", {"train": 12000, "test": 10000}, 10),
        ("bccd", {"train": 205, "val": 87, "test": 72}, 0),
    ],
)
def test_real_data_sets_are_understood_as_they_are(datasets, folder, splits, classes):
    found = read_dataset(datasets / folder)
    assert {split: len(found.of_split(split)) for split in splits} == splits
    assert len(found.samples) == sum(splits.values())
    assert len(found.classes) == classes
    assert found.layout == folder
    assert (found.target_names == ()) == bool(classes)
