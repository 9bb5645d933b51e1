"""Data sets as they lie on disk: each layout is read, each fault is named, and what is in the pictures is checked."""

import gzip
import io
import json
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.pictures import encode
from trunkline.cli import main
from trunkline.core.errors import DataInvalidError
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset


def put(path: Path, shade: int = 0) -> Path:
    """A picture of its own; the same shade gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(Image.new("RGB", (8, 6), (shade % 256, shade // 256, 0)), "PNG"))
    return path


def put_many(folder: Path, *names: str) -> None:
    for shade, name in enumerate(names):
        put(folder / name, shade)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def write_digits(root: Path, stem: str, labels: list[int]) -> None:
    images = np.arange(len(labels) * 12).reshape(-1, 4, 3)
    write_idx(root / f"{stem}-images-idx3-ubyte.gz", images)
    write_idx(root / f"{stem}-labels-idx1-ubyte.gz", np.array(labels))


def facts(dataset) -> list[tuple]:
    return [(sample.name, sample.split, sample.label) for sample in dataset.samples]


def refusal(root: Path, **options) -> DataInvalidError:
    with pytest.raises(DataInvalidError) as caught:
        read_dataset(root, **options)
    return caught.value


# The layouts.


def test_a_folder_per_class_is_read(tmp_path):
    put_many(tmp_path, "rose/1.png", "rose/2.PNG", "aster/3.png", ".cache/4.png", "rose/.hidden.png")
    dataset = read_dataset(tmp_path)
    assert (dataset.layout, dataset.classes, dataset.target_names) == ("folders", ("aster", "rose"), ())
    assert facts(dataset) == [("aster/3.png", "", 0), ("rose/1.png", "", 1), ("rose/2.PNG", "", 1)]
    assert dataset.samples[0].read() == (tmp_path / "aster/3.png").read_bytes()


def test_folders_below_splits_are_read_in_the_order_of_the_splits(tmp_path):
    put_many(tmp_path, "test/b/1.png", "train/a/2.png", "train/b/3.png", "valid/a/4.png")
    dataset = read_dataset(tmp_path)
    assert facts(dataset) == [
        ("train/a/2.png", "train", 0),
        ("train/b/3.png", "train", 1),
        ("valid/a/4.png", "val", 0),
        ("test/b/1.png", "test", 1),
    ]
    assert [sample.name for sample in dataset.of_split("val", "test")] == ["valid/a/4.png", "test/b/1.png"]


def test_a_class_may_be_called_train(tmp_path):
    put_many(tmp_path, "train/1.png", "plane/2.png")
    assert facts(read_dataset(tmp_path)) == [("plane/2.png", "", 0), ("train/1.png", "", 1)]


def test_what_lies_between_the_class_folders_is_named(tmp_path):
    put_many(tmp_path, "train/a/1.png", "train/b/2.png", "train/loose.png", "train/b/deep/3.png")
    write(tmp_path / "train/a/notes.txt", "x")
    (tmp_path / "docs").mkdir()
    assert set(read_dataset(tmp_path).skipped) == {"docs/", "train/loose.png", "train/b/deep/", "train/a/notes.txt"}


def test_labels_in_a_csv_file_are_read(tmp_path):
    put_many(tmp_path, "1.png", "2.png", "3.png")
    write(tmp_path / "list.csv", "file, label, split", "1.png,10,train", "", "./2.png,9,validation", "3.png,9,Test")
    write(tmp_path / "other.csv", "colour", "red")
    dataset = read_dataset(tmp_path)
    assert (dataset.layout, dataset.classes) == ("csv", ("9", "10"))
    assert facts(dataset) == [("1.png", "train", 1), ("2.png", "val", 0), ("3.png", "test", 0)]
    assert read_dataset(tmp_path / "list.csv") == dataset


def test_columns_of_numbers_are_targets_and_text_is_not(tmp_path):
    put_many(tmp_path, "1.png", "2.png")
    write(tmp_path / "labels.csv", "\ufefffile,angle,remark,size", "1.png,-1.5,good,1e2", '2.png,3,"poor, dark",4')
    dataset = read_dataset(tmp_path)
    assert (dataset.classes, dataset.target_names) == ((), ("angle", "size"))
    assert [(sample.label, sample.targets) for sample in dataset.samples] == [
        (None, (-1.5, 100.0)),
        (None, (3.0, 4.0)),
    ]


def test_a_target_can_be_chosen_also_beside_labels(tmp_path):
    put_many(tmp_path, "1.png", "2.png")
    write(tmp_path / "labels.csv", "file,label,age", "1.png,a,7", "2.png,b,8")
    assert read_dataset(tmp_path).classes == ("a", "b")
    assert [sample.targets for sample in read_dataset(tmp_path, targets=("age",)).samples] == [(7.0,), (8.0,)]


@pytest.mark.parametrize(
    ("layout", "columns"),
    [("flowers102", "class_id,class_name"), ("pets", "breed_id,breed")],
    ids=["flowers", "pets"],
)
def test_numbered_classes_are_in_the_order_of_their_numbers(tmp_path, layout, columns):
    put_many(tmp_path, "1.png", "2.png", "3.png")
    write(tmp_path / "labels.csv", f"file,{columns},split", "1.png,10,a,train", "2.png,9,z,test", "3.png,10,a,test")
    dataset = read_dataset(tmp_path)
    assert (dataset.layout, dataset.classes) == (layout, ("z", "a"))
    assert facts(dataset) == [("1.png", "train", 1), ("2.png", "test", 0), ("3.png", "test", 1)]


def test_counts_of_blood_cells_are_targets(tmp_path):
    put_many(tmp_path, "1.png", "2.png")
    header = "file,split,n_rbc,n_wbc,n_platelets,n_all"
    write(tmp_path / "counts.csv", header, "1.png,train,19,1,0,20", "2.png,val,3,0,2,5")
    dataset = read_dataset(tmp_path)
    assert (dataset.layout, dataset.target_names) == ("bccd", ("n_rbc", "n_wbc", "n_platelets", "n_all"))
    assert [sample.targets for sample in read_dataset(tmp_path, targets=("n_rbc",)).samples] == [(19.0,), (3.0,)]


def test_digits_in_idx_files_become_png(tmp_path):
    write_digits(tmp_path, "t10k", [7])
    write_digits(tmp_path, "train12k", [3, 0])
    dataset = read_dataset(tmp_path)
    assert (dataset.layout, dataset.classes) == ("mnist", tuple("0123456789"))
    assert facts(dataset) == [("train12k[0]", "train", 3), ("train12k[1]", "train", 0), ("t10k[0]", "test", 7)]
    picture = Image.open(io.BytesIO(dataset.samples[1].read()))
    assert np.array_equal(np.asarray(picture), np.arange(12, 24).reshape(4, 3))


def test_samples_can_be_sent_to_other_processes(tmp_path):
    write_digits(tmp_path, "train", [3, 0])
    sample = read_dataset(tmp_path).samples[1]
    assert pickle.loads(pickle.dumps(sample)).read() == sample.read()


def test_a_line_that_is_repeated_counts_once(tmp_path):
    put_many(tmp_path, "1.png", "2.png")
    write(tmp_path / "labels.csv", "file,label", "1.png,a", "./1.png,a", "2.png,b")
    assert len(read_dataset(tmp_path).samples) == 2


# The faults.


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        (["file,label", "3.png,b"], 4, "its file is missing"),
        (["file,label", ",b"], 4, "its file is empty"),
        (["file,label", f"{'x' * 5000}.png,b"], 4, "is missing"),
        (["file,label", "../0.png,b"], 4, "is missing"),
        (["file,label", "x/../../0.png,b"], 4, "is missing"),
        (["file,label", "/etc/hostname,b"], 4, "is missing"),
        (["file,label", "4.png,"], 4, "the label is empty"),
        (["file,label", "4.png,b", "./4.png,a"], 5, "its picture is also on line 4, with another label"),
        (["file,label", "4.png,b", "old/4.png,a"], 5, "its picture is also on line 4, with another label"),
        (["file,age", "4.png,1", "4.png,2"], 5, "another target"),
        (["file,label,split", "4.png,a,train", "4.png,a,test"], 5, "another split"),
        (["file,label,split", "4.png,b,dev"], 4, "the split is none of train, val, test"),
        (["file,label,split", "4.png,b,"], 4, "the split is none of"),
        (["file,age", "4.png,1,5"], 4, "3 values; the header has 2 columns"),
        (["file,age", "4.png,old"], 4, "the value in column 2 is no number"),
        (["file,age", "4.png,"], 4, "the value in column 2 is no number"),
        (["file,age", "4.png,nan"], 4, "the value in column 2 is no number"),
        (["file,age", "4.png,1_0"], 4, "the value in column 2 is no number"),
        (["file,class_id,class_name", "4.png,one,c"], 4, "the value in column 'class_id' is no whole number"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_row_that_is_wrong_is_left_out_and_named_with_its_line(tmp_path, lines, line, reason):
    put_many(tmp_path, "1.png", "2.png", "4.png")
    put(tmp_path.parent / "0.png")
    good = {"file,age": ("1", "2"), "file,class_id,class_name": ("1,a", "2,b")}.get(lines[0], ("a", "b"))
    split = ",train" if lines[0].endswith("split") else ""
    rows = [f"{name},{value}{split}" for name, value in zip(("1.png", "2.png"), good, strict=True)]
    write(tmp_path / "labels.csv", lines[0], *rows, *lines[1:])
    dataset = read_dataset(tmp_path)
    kept = ["1.png", "2.png", *(["4.png"] if any(row.startswith("old/") for row in lines) else [])]
    assert [sample.name for sample in dataset.samples] == kept
    left = [remark for remark in dataset.remarks.rows() if remark.left_out == "picture"]
    assert [remark.where for remark in left] == [f"labels.csv, line {line}"]
    assert reason in left[0].text
    assert check_dataset(dataset).problems == ()
    assert f"labels.csv, line {line}" in check_dataset(dataset, strict=True).problems[0]


def test_data_of_which_every_row_is_left_out_is_refused_with_the_first(tmp_path):
    write(tmp_path / "labels.csv", "file,label", "1.png,a", "2.png,b")
    assert "all rows are left out, the first is labels.csv, line 2: its file is missing" in refusal(tmp_path).message


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        (["file,remark", "1.png,good"], 1, "neither a column 'label' nor one of numbers"),
        (["picture,label", "1.png,a"], 1, "no column 'file' among its 2"),
        (["file,label,label", "1.png,a,b"], 1, "columns 2 and 3 have the same name"),
        (["file,label", '"1.png"x,a'], 2, "not CSV"),
        (["file,class_id,class_name", "1.png,1,a", "2.png,1,b"], 3, "its class had another name before"),
        (["file,class_id,class_name", "1.png,1,a", "2.png,2,a"], 3, "its class had another number before"),
        (["file,label", "1.png,a", "2.png,a"], None, "only one class"),
        (["file,label"], None, "no rows"),
        ([""], None, "the file is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_fault_of_a_csv_file_is_named_with_its_line(tmp_path, lines, line, reason):
    put_many(tmp_path, "1.png", "2.png")
    path = write(tmp_path / "labels.csv", *lines)
    error = refusal(tmp_path)
    assert reason in error.message
    assert error.message.startswith(str(path) if line is None else f"{path}, line {line}: ")
    assert error.metadata == {"file": str(path)} | ({} if line is None else {"line": str(line)})


def test_text_that_is_not_utf_8_is_named_with_its_line(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"file,label\n1.png,a\n2.png,\xfcber\n")
    assert "labels.csv, line 3: the text is not UTF-8" in refusal(tmp_path).message


@pytest.mark.parametrize("target", ["weight", "split", "file"])
def test_a_target_that_is_none_is_refused_with_those_that_are(tmp_path, target):
    put(tmp_path / "1.png")
    write(tmp_path / "labels.csv", "file,age,split", "1.png,1,train")
    assert f"no target {target!r}; of numbers are: column 2" in refusal(tmp_path, targets=(target,)).message


def test_a_target_is_refused_where_there_are_only_classes(tmp_path):
    put_many(tmp_path, "a/1.png", "b/2.png")
    assert "no target 'age': this layout has classes only" in refusal(tmp_path, targets=("age",)).message


def test_an_unknown_layout_is_refused_with_those_that_are_known(tmp_path):
    put(tmp_path / "alphabet/letter/1.png")
    message = refusal(tmp_path).message
    assert message.startswith(f"{tmp_path}: no layout")
    assert all(word in message for word in ("folder per class", "file,label[,split]", "flowers102", "idx"))


def test_a_missing_folder_is_refused(tmp_path):
    assert refusal(tmp_path / "none").message == f"{tmp_path / 'none'}: there is no such folder"


def test_a_folder_beside_the_splits_is_refused(tmp_path):
    put_many(tmp_path, "train/a/1.png", "train/b/2.png", "dev/a/3.png")
    assert "dev: the split 'dev' is none of train, val, test" in refusal(tmp_path).message


def test_one_class_folder_alone_is_refused(tmp_path):
    put(tmp_path / "images/1.png")
    assert "only one class; a classifier needs two" in refusal(tmp_path).message


def test_two_lists_are_refused_and_both_are_named(tmp_path):
    for name in ("one.csv", "two.csv"):
        write(tmp_path / name, "file,label")
    assert "one.csv, two.csv all have a column 'file'" in refusal(tmp_path).message


def test_a_name_that_is_not_utf_8_is_read_under_another_and_said(tmp_path):
    put_many(tmp_path, "a/1.png", "b/\udcff.png")
    dataset = read_dataset(tmp_path)
    assert [sample.name for sample in dataset.samples] == ["a/1.png", "b/\\udcff.png"]
    assert dataset.samples[1].encoded()
    assert [(remark.kind, remark.where) for remark in dataset.remarks.rows()] == [("name-not-utf8", "b/\\udcff.png")]


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (LABELS, None, "the file is missing"),
        (IMAGES, None, "the file is missing"),
        (IMAGES, b"plain", "not gzip, or cut off"),
        (IMAGES, gzip.compress(b"x" * 99)[:-9], "not gzip, or cut off"),
        (IMAGES, gzip.compress(bytes(16)), "not an idx file of bytes in 3 dimensions"),
        (IMAGES, gzip.compress(bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 9))), "1 values; the header"),
        (LABELS, gzip.compress(bytes((0, 0, 8, 1, 0, 0, 0, 1, 9))), "1 labels for 2 pictures"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_in_an_idx_file_is_named(tmp_path, name, content, reason):
    write_digits(tmp_path, "train", [1, 2])
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path).message
    assert message.startswith(str(tmp_path / name))
    assert reason in message


def test_a_label_that_is_no_digit_leaves_its_picture_out(tmp_path):
    write_digits(tmp_path, "train", [1, 10, 2])
    dataset = read_dataset(tmp_path)
    assert facts(dataset) == [("train[0]", "train", 1), ("train[2]", "train", 2)]
    assert list(map(str, dataset.remarks.rows())) == [
        "train[1]: its label is no digit from 0 to 9; the picture is left out"
    ]


def test_an_idx_file_of_no_split_is_refused(tmp_path):
    write_digits(tmp_path, "emnist", [1, 2])
    assert "begins with none of train, val, test, t10k" in refusal(tmp_path).message


# The check.


def good_folders(root: Path) -> None:
    put_many(root, *(f"{split}/{name}/{i}.png" for split in ("train", "test") for name in "ab" for i in range(5)))


def test_good_data_has_neither_problems_nor_warnings(tmp_path):
    good_folders(tmp_path)
    seen = []
    report = check_dataset(read_dataset(tmp_path), workers=2, progress=lambda done, of: seen.append((done, of)))
    assert report.splits == {"train": 10, "test": 10}
    assert report.classes == {"a": {"train": 5, "test": 5}, "b": {"train": 5, "test": 5}}
    assert (report.problems, report.warnings, report.unbalance) == ((), (), 1.0)
    assert seen == [(done, 20) for done in range(1, 21)]


def test_broken_pictures_are_left_out_and_are_all_named(tmp_path):
    good_folders(tmp_path)
    cut = tmp_path / "train/a/0.png"
    cut.write_bytes(cut.read_bytes()[:44])
    (tmp_path / "train/a/1.png").write_bytes(b"")
    (tmp_path / "test/b/2.png").write_bytes(b"text")
    dataset = read_dataset(tmp_path)
    (tmp_path / "test/b/3.png").unlink()
    report = check_dataset(dataset)
    assert [picture.name for picture in report.broken] == [
        "train/a/0.png",
        "train/a/1.png",
        "test/b/2.png",
        "test/b/3.png",
    ]
    lines = list(map(str, report.remarks))
    assert lines[1] == "train/a/1.png: the picture is empty (0 bytes); the picture is left out"
    assert lines[3] == "test/b/3.png: cannot be read: No such file or directory; the picture is left out"
    assert report.splits == {"train": 8, "test": 8}
    assert report.summary == "4 remarks, 4 pictures left out"
    assert not report.problems
    assert len(check_dataset(dataset, strict=True).problems) == 4
    assert not report.duplicates


def test_the_same_picture_in_two_splits_is_named_first_and_with_both(tmp_path):
    good_folders(tmp_path)
    put(tmp_path / "train/a/x.png", 900)
    put(tmp_path / "train/a/y.png", 900)
    put(tmp_path / "train/b/z.png", 901)
    put(tmp_path / "test/a/z.png", 901)
    report = check_dataset(read_dataset(tmp_path))
    assert not report.problems
    assert report.warnings == (
        "train/b/z.png (train) = test/a/z.png (test): the same picture in different splits, which flatters the "
        "result, labelled differently: 'b', 'a'",
        "train/a/x.png (train) = train/a/y.png (train): the same picture",
    )


def test_small_and_unequal_classes_are_warned_of_and_empty_ones_are_problems(tmp_path):
    put_many(tmp_path, *(f"train/a/{i}.png" for i in range(30)), "train/b/30.png", "train/b/31.png", "test/c/32.png")
    report = check_dataset(read_dataset(tmp_path))
    assert report.few == ("b", "c")
    assert report.problems == ("class 3 of 3 has no picture for training",)
    assert any("class 'b' has 2 for training" in text for text in report.warnings)
    assert report.unbalance is None
    put_many(tmp_path, "train/c/33.png")
    report = check_dataset(read_dataset(tmp_path))
    assert report.unbalance == 30.0
    assert any("30 times as many" in text for text in report.warnings)


def test_data_without_a_picture_for_training_is_a_problem(tmp_path):
    put_many(tmp_path, "test/a/1.png", "test/b/2.png")
    assert check_dataset(read_dataset(tmp_path)).problems == ("no picture is for training",)


def test_targets_have_their_range_and_a_constant_one_is_warned_of(tmp_path):
    put_many(tmp_path, "1.png", "2.png")
    write(tmp_path / "labels.csv", "file,age,size", "1.png,1,5", "2.png,2,5")
    report = check_dataset(read_dataset(tmp_path))
    assert [(t.name, t.least, t.mean, t.greatest) for t in report.targets] == [("age", 1, 1.5, 2), ("size", 5, 5, 5)]
    assert report.warnings == ("target 'size' is 5 in all pictures for training",)
    assert report.unbalance is None


# The command.


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line; its status, standard output and standard error."""

    def _run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trunkline", "data", "check", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return _run


def test_the_command_shows_counts_and_ends_well(tmp_path, run):
    good_folders(tmp_path)
    status, out, err = run(tmp_path)
    assert (status, err) == (0, "")
    assert "layout folders, 20 pictures, 2 classes" in out
    assert "can be trained on: 0 problems, 0 warnings" in out


def test_the_command_lists_remarks_and_counts_what_is_left_out(tmp_path, run):
    good_folders(tmp_path)
    for number in range(5):
        (tmp_path / f"train/a/[red]{number}.png").write_bytes(b"text")
    status, out, _ = run(tmp_path)
    assert status == 0
    assert "remark: train/a/[red]0.png: not a picture" in out
    assert out.count("not a picture") == 3
    assert "remark: and 2 more of kind picture-broken" in out
    assert "can be trained on: 0 problems, 0 warnings, 5 remarks, 5 pictures left out" in out


def test_the_command_lists_problems_and_fails(tmp_path, run):
    put_many(tmp_path, "test/a/1.png", "test/b/2.png")
    status, out, _ = run(tmp_path)
    assert status == 1
    assert "problem: no picture is for training" in out
    assert "cannot be trained on: 1 problem" in out


def test_the_command_prints_one_json_document(tmp_path, run):
    put_many(tmp_path, "1.png", "2.png")
    write(tmp_path / "labels.csv", "file,age,size", "1.png,1,5", "2.png,2,7")
    status, out, _ = run(tmp_path, "--target", "age", "--json")
    document = json.loads(out)
    assert status == 0
    assert (document["root"], document["splits"]) == (str(tmp_path), {"": 2})
    assert document["targets"] == [{"name": "age", "least": 1.0, "mean": 1.5, "greatest": 2.0}]


def test_the_command_refuses_bad_data_in_one_line(tmp_path, run):
    write(tmp_path / "labels.csv", "file,label", "1.png,a")
    status, out, err = run(tmp_path, "--json")
    assert (status, out) == (1, "")
    reason = "all rows are left out, the first is labels.csv, line 2: its file is missing"
    assert err == f"trunkline: {tmp_path}/labels.csv: {reason}\n"


# The real ones.


@pytest.mark.parametrize(
    ("name", "task", "classes", "counts"),
    [
        ("flowers102", None, 102, (1020, 1020, 4978)),
        ("pets", "classification", 37, (444, 0, 296)),
        ("mnist", None, 10, (12000, 0, 10000)),
        ("bccd", "regression", 0, (205, 87, 72)),
    ],
)
def test_real_data_sets_are_read_as_they_are(datasets, name, task, classes, counts):
    dataset = read_dataset(datasets / name, task=task)
    assert (dataset.layout, len(dataset.classes)) == (name, classes)
    assert tuple(len(dataset.of_split(split)) for split in ("train", "val", "test")) == counts
    assert dataset.skipped == ()
    assert {sample.label for sample in dataset.samples} == (set(range(classes)) or {None})


def test_real_pictures_of_blood_are_sound(datasets):
    report = check_dataset(read_dataset(datasets / "bccd", targets=("n_rbc",)))
    assert (report.problems, report.duplicates) == ((), ())
    assert (report.targets[0].least, report.targets[0].greatest) == (0, 27)


def test_a_jpeg_without_its_end_marker_is_read_and_one_that_lacks_pixels_is_left_out(tmp_path, samples):
    with Image.open(samples / "chelsea.jpg") as photograph:
        data = encode(photograph.resize((64, 48)), "JPEG")
    for name, content in (("a/0.jpg", data[:-2]), ("a/1.jpg", data), ("b/2.jpg", data[:-60])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    report = check_dataset(read_dataset(tmp_path))
    read, lost = map(str, report.remarks)
    assert read == "a/0.jpg: the JPEG has no end marker; its pixels are all there and were read"
    assert lost.startswith("b/2.jpg: the picture is damaged or cut off")
    assert len(report.broken) == 1
