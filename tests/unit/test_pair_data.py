"""Data of similarity: pairs, Omniglot's layout, whole classes held out."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from trunkline.core.errors import DataInvalidError
from trunkline.core.train_request import TrainRequest
from trunkline.training.data.accept import accept_data
from trunkline.training.data.disjoint import classes_held_out, is_disjoint
from trunkline.training.data.read import read_dataset


def picture(path: Path, shade: int = 128) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path)
    return path


def pairs(folder: Path, *rows: str, header: str = "a,b,same") -> Path:
    for row in rows:
        for name in row.split(",")[:2]:
            picture(folder / name)
    (folder / "pairs.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def folders(root: Path, classes: dict[str, list[str]], each: int = 4) -> Path:
    for split, names in classes.items():
        for name in names:
            for number in range(each):
                picture(root / split / name / f"{number}.png", (hash((split, name)) + number) % 251)
    return root


def quiet(done, total):
    pass


@pytest.mark.parametrize("named", ["folder", "file"])
def test_chains_of_same_pairs_are_classes_and_pairs_are_kept(tmp_path, named):
    root = pairs(tmp_path, "a.png,b.png,1", "b.png,c.png,yes", "d.png,e.png,true", "a.png,d.png,0", "f.png,a.png,no")
    data = read_dataset(root if named == "folder" else root / "pairs.csv")
    label = {sample.name: data.classes[sample.label] for sample in data.samples}
    assert len(data.classes) == 3
    assert label["a.png"] == label["b.png"] == label["c.png"]
    assert label["d.png"] == label["e.png"]
    kept = {(sample.name, other): same for sample in data.samples for other, same in sample.pairs}
    assert kept[("a.png", "d.png")] is False
    assert kept[("b.png", "c.png")] is True
    assert len(kept) == 5


@pytest.mark.parametrize(
    ("rows", "header", "word"),
    [
        (["a.png,b.png,1", "b.png,c.png,1", "a.png,c.png,0"], "a,b,same", "line 4: its pictures are the same"),
        (["a.png,b.png,1"], "a,b,same", "only one class"),
    ],
)
def test_pairs_that_cannot_be_are_named_with_their_line(tmp_path, rows, header, word):
    with pytest.raises(DataInvalidError, match=word):
        read_dataset(pairs(tmp_path, *rows, header=header))


@pytest.mark.parametrize(
    ("header", "row", "word"),
    [
        ("a,b,same", "a.png,missing.png,1", "its picture b is missing"),
        ("a,b,same", "a.png,../outside.png,1", "its picture b is missing"),
        ("a,b,same", ",b.png,1", "its picture a is empty"),
        ("a,b,same", "a.png,b.png,perhaps", "the value in column 'same'"),
        ("a,b,same,split", "b.png,c.png,0,test", "its picture b is in another split"),
        ("a,b,same,split", "a.png,b.png,1,spare", "the split is none of"),
    ],
)
def test_a_pair_that_cannot_be_is_left_out_and_named_with_its_line(tmp_path, header, row, word):
    good = [f"{pair},train" if header.endswith("split") else pair for pair in ("a.png,c.png,1", "a.png,d.png,0")]
    picture(tmp_path.parent / "outside.png")
    pairs(tmp_path, *good, "b.png,b.png,1" + (",test" if header.endswith("split") else ""), header=header)
    with (tmp_path / "pairs.csv").open("a") as file:
        file.write(row + "\n")
    data = read_dataset(tmp_path)
    assert {sample.name for sample in data.samples} == {"a.png", "b.png", "c.png", "d.png"}
    (remark,) = data.remarks.rows()
    assert (remark.where, remark.left_out) == ("pairs.csv, line 5", "picture")
    assert word in remark.text


def omniglot(root: Path) -> Path:
    for part, alphabets in (("background", ("Latin", "Greek")), ("evaluation", ("Tibetan",))):
        for alphabet in alphabets:
            for character in range(1, 4):
                picture(root / part / alphabet / f"character{character:02}" / f"{character}_01.png", character)
    run = root / "oneshot_runs/run01"
    for number in (1, 2):
        picture(run / f"training/class0{number}.png")
        picture(run / f"test/item0{number}.png")
    lines = "run01/test/item01.png run01/training/class02.png\nrun01/test/item02.png run01/training/class01.png\n"
    (run / "class_labels.txt").write_text(lines)
    (root / "index.csv").write_text(
        "file,part,character_number\nbackground/Latin/character01/1_01.png,background,1\n"
    )
    return root


def test_omniglot_is_read_as_it_is(tmp_path):
    data = read_dataset(omniglot(tmp_path))
    assert data.layout == "omniglot"
    assert "Greek/character02" in data.classes
    assert Counter(sample.split for sample in data.samples) == {"train": 6, "test": 3}
    assert is_disjoint(data)
    (run,) = data.runs
    assert run.truth == (1, 0)
    assert run.support[1].name.endswith("class02.png")
    assert run.queries[0].read()


def test_a_run_with_an_answer_that_is_not_there_is_left_out_and_named(tmp_path):
    omniglot(tmp_path)
    (tmp_path / "oneshot_runs/run01/class_labels.txt").write_text(
        "run01/test/item01.png run01/training/class09.png\n"
    )
    data = read_dataset(tmp_path)
    assert data.runs == ()
    (remark,) = data.remarks.rows()
    assert remark.where == "oneshot_runs/run01"
    assert "line 1: it is no test picture" in remark.text


def test_the_real_omniglot_has_its_twenty_runs(datasets):
    data = classes_held_out(read_dataset(datasets / "omniglot"))
    assert Counter(sample.split for sample in data.samples) == {"train": 4520, "val": 320, "test": 7640}
    assert [len(run.truth) for run in data.runs] == [20] * 20
    assert len({sample.label for sample in data.of_split("val")}) == 16


def test_classes_are_held_out_whole_and_the_same_ones_each_time(tmp_path):
    root = folders(tmp_path, {".": [f"thing{number}" for number in range(20)]})
    data = classes_held_out(read_dataset(root))
    of = {split: {sample.label for sample in data.of_split(split)} for split in ("train", "val", "test")}
    assert [len(of[split]) for split in ("train", "val", "test")] == [14, 2, 4]
    assert not of["train"] & of["test"]
    assert not of["train"] & of["val"]
    assert classes_held_out(read_dataset(root)) == data


def test_few_classes_are_all_learned(tmp_path):
    data = classes_held_out(read_dataset(folders(tmp_path, {".": ["one", "two", "three"]}, each=10)))
    assert {sample.label for sample in data.of_split("train")} == {0, 1, 2}
    assert data.of_split("test")


def test_splits_without_a_class_in_common_are_for_similarity_alone(tmp_path):
    names = [f"thing{number}" for number in range(6)]
    root = folders(tmp_path / "data", {"train": names[:4], "test": names[4:]})
    accepted = accept_data(TrainRequest(name="x", data=str(root), task="similarity"), tmp_path / "work", quiet)
    assert is_disjoint(accepted)
    with pytest.raises(DataInvalidError, match="classification cannot be learned so"):
        accept_data(TrainRequest(name="x", data=str(root)), tmp_path / "other", quiet)
