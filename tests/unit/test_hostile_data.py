"""Data sets that were made to do harm: each is refused within bounds, in words that repeat nothing of it."""

import gzip
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="needs the train extra: pip install -e '.[train]'")

from tests.unit.object_data import annotation, coco, image, put, voc_object, write_coco, write_lines, write_voc
from trunkline.core.errors import DataForbiddenError, DataInvalidError
from trunkline.core.roots import DataRoots
from trunkline.training.data import scan as scanning
from trunkline.training.data import table as tables
from trunkline.training.data.accept import require_none
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset
from trunkline.training.data.reading import confine, limit_annotations

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _unconfined() -> Iterator[None]:
    yield
    confine(None)
    limit_annotations(256)


def refusal(root: Path, task: str | None = "detection") -> str:
    """What a job or an evaluation would say of this data."""
    with pytest.raises(DataInvalidError) as caught:
        require_none(check_dataset(read_dataset(root, task=task), strict=True).problems, "DATA", task or "")
    return caught.value.message


def said(root: Path, task: str | None) -> list[str]:
    """All that is wrong with data: message, metadata and remarks."""
    problems: tuple[str, ...] = ()
    try:
        problems = check_dataset(read_dataset(root, task=task), strict=True).problems
        require_none(problems, "DATA", task or "")
    except DataInvalidError as error:
        return [*problems, error.message, *error.metadata.values()]
    raise AssertionError("the data was taken for good")


def csv_of_users(root: Path) -> str | None:
    write_lines(root / "users.csv", f"user,{SECRET}", f"root,{SECRET}")
    return None


def csv_header(root: Path) -> str | None:
    write_lines(root / "labels.csv", f"user,{SECRET}", f"root,{SECRET}")
    return None


def csv_cells(root: Path) -> str | None:
    write_lines(root / "labels.csv", "file,age", f"{SECRET},3")
    return None


def csv_number(root: Path) -> str | None:
    put(root / "a.jpg")
    write_lines(root / "labels.csv", "file,age", "a.jpg,3", f"a.jpg,{SECRET}")
    return "regression"


def csv_twice(root: Path) -> str | None:
    write_lines(root / "labels.csv", f"file,{SECRET},{SECRET}", "a.jpg,3,4")
    return None


def csv_label_alone(root: Path) -> str | None:
    put(root / "a.jpg")
    write_lines(root / "labels.csv", "file,label", f"a.jpg,{SECRET}")
    return "classification"


def pairs(root: Path) -> str | None:
    write_lines(root / "pairs.csv", "a,b,same", f"{SECRET},{SECRET},{SECRET}")
    return "similarity"


def mask_classes(root: Path) -> str | None:
    for folder in ("images", "masks"):
        put(root / folder / "a.png")
    write_lines(root / "classes.csv", "class_id,class_name", f"{SECRET},{SECRET}")
    return "segmentation"


def yaml_broken(root: Path) -> str | None:
    write_lines(root / "data.yaml", "names: [a, b]", f"password: [{SECRET}", "train: images")
    return "detection"


def yaml_alias(root: Path) -> str | None:
    write_lines(root / "data.yaml", f"a: *{SECRET}")
    return "detection"


def yaml_places(root: Path) -> str | None:
    write_lines(root / "data.yaml", "names: [a, b]", f"train: {SECRET}")
    return "detection"


def yolo_list(root: Path) -> str | None:
    write_lines(root / "data.yaml", "names: [a, b]", "train: secrets.txt")
    write_lines(root / "secrets.txt", SECRET)
    return "detection"


def yolo_line(root: Path) -> str | None:
    put(root / "images/a.jpg")
    write_lines(root / "classes.txt", "a", "b")
    write_lines(root / "labels/a.txt", f"{SECRET} 0.5 0.5 0.1 0.1")
    return "detection"


def coco_texts(root: Path) -> str | None:
    coco(
        root,
        {"id": SECRET, "image_id": SECRET, "category_id": SECRET, "bbox": SECRET},
        annotation(1, 1, segmentation={"size": SECRET, "counts": SECRET}),
        {**annotation(2, 2, category=9), "category_id": SECRET},
        images=[image(1, "images/1.jpg"), image(2, "images/2.jpg"), {"id": SECRET, "file_name": SECRET}],
    )
    return "detection"


def coco_categories(root: Path) -> str | None:
    coco(root, categories=[{"id": SECRET, "name": SECRET}])
    return "detection"


def coco_not_text(root: Path) -> str | None:
    coco(root)
    (root / "train.json").write_text('{"images": "' + SECRET + "\x01")
    return "detection"


def voc_texts(root: Path) -> str | None:
    put(root / "JPEGImages/a.jpg")
    write_voc(root / "Annotations/a.xml", "a.jpg", voc_object(SECRET, (SECRET, 5, 9, 9)))  # type: ignore[arg-type]
    return "detection"


def voc_entity(root: Path) -> str | None:
    put(root / "JPEGImages/a.jpg")
    write_voc(root / "Annotations/a.xml", f"&{SECRET};")
    return "detection"


def voc_list(root: Path) -> str | None:
    put(root / "JPEGImages/a.jpg")
    write_voc(root / "Annotations/a.xml", "a.jpg", voc_object("cat", (5, 5, 9, 9)))
    write_lines(root / "ImageSets/Main/train.txt", "a", SECRET)
    return "detection"


def omniglot_answers(root: Path) -> str | None:
    for part in ("background", "evaluation"):
        for number in (1, 2):
            put(root / part / f"Latin/character0{number}/1.png", number)
    put(root / "oneshot_runs/run01/training/class01.png")
    write_lines(root / "oneshot_runs/run01/class_labels.txt", f"{SECRET} {SECRET}")
    return "similarity"


def idx(root: Path) -> str | None:
    (root / "train-images-idx3-ubyte.gz").write_text(SECRET)
    return None


@pytest.mark.parametrize(
    "make",
    [
        csv_of_users,
        csv_header,
        csv_cells,
        csv_number,
        csv_twice,
        csv_label_alone,
        pairs,
        mask_classes,
        yaml_broken,
        yaml_alias,
        yaml_places,
        yolo_list,
        yolo_line,
        coco_texts,
        coco_categories,
        coco_not_text,
        voc_texts,
        voc_entity,
        voc_list,
        omniglot_answers,
        idx,
    ],
)
def test_no_refusal_repeats_what_stands_in_a_file(tmp_path, make: Callable[[Path], str | None]):
    root = tmp_path / "data"
    root.mkdir()
    task = make(root)
    assert SECRET not in "\n".join(said(root, task))


def fifo(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize(
    "name", ["a.yaml", "Annotations/a.xml", "labels.csv", "train.json", "classes.csv", "pairs.csv"]
)
@pytest.mark.parametrize("task", [None, "detection"])
def test_nobody_waits_for_a_pipe(tmp_path, name, task):
    fifo(tmp_path, name)
    assert refusal(tmp_path, task)


def test_a_pipe_in_place_of_an_annotated_picture_is_a_fault(tmp_path):
    coco(tmp_path)
    (tmp_path / "images/2.jpg").unlink()
    fifo(tmp_path, "images/2.jpg")
    assert "image 2 of the list: its picture is missing" in refusal(tmp_path)


def unfolding(root: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    write_lines(root / "data.yaml", *lines, "names: *a11", "train: images")


def deep_yaml(root: Path) -> None:
    write_lines(root / "data.yaml", "names: " + "[" * 5000 + "]" * 5000)


def long_yaml(root: Path) -> None:
    write_lines(root / "data.yaml", "train: images", "names:", *(f"  {n}: class {n}" for n in range(100_000)))


def endless_number(root: Path) -> None:
    """In base 60: reading it as a number takes hours."""
    write_lines(root / "data.yaml", "val: null", "test:", "train: []", "names: 1" + ":59" * 300_000)


def deep_json(root: Path) -> None:
    (root / "train.json").write_text('{"images": ' + "[" * 100_000)


def long_number(root: Path) -> None:
    (root / "train.json").write_text('{"images": [' + "9" * 100_000 + "]}")


def many_lists(root: Path) -> None:
    (root / "train.json").write_text('{"images": [' + "[]," * 9_000_000 + "0]}")


def many_points(root: Path) -> None:
    coco(root, annotation(1, 1, segmentation=[[1, 1] * 1_000_000]))


def long_rim(root: Path) -> None:
    coco(root, annotation(1, 1, segmentation=[[1, 1, 60, 40] * 45_000]))


def far_point(root: Path) -> None:
    coco(root, annotation(1, 1, segmentation=[[1e300, 1, 2, 2, 3, 3]]))


def vast_picture(root: Path) -> None:
    side = 10**6
    runs = {"size": [side, side], "counts": [side * side]}
    coco(root, annotation(1, 1, segmentation=runs), images=[image(1, "images/1.jpg", (side, side))])


def vast_xml(root: Path) -> None:
    put(root / "JPEGImages/a.jpg")
    write_voc(root / "Annotations/a.xml", "a.jpg", *[voc_object("cat", (5, 5, 9, 9))] * 50_000)


def entities(root: Path) -> None:
    put(root / "JPEGImages/a.jpg")
    (root / "Annotations").mkdir()
    declared = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<!DOCTYPE a [<!ENTITY e0 "x">{declared}]><annotation><filename>&e9;</filename></annotation>'
    (root / "Annotations/a.xml").write_text(text)


def many_columns(root: Path) -> None:
    write_lines(root / "labels.csv", "file," + ",".join(f"c{n}" for n in range(20_000)))


def long_field(root: Path) -> None:
    write_lines(root / "labels.csv", "file,label", "x" * 3_000_000 + ",a")


def many_classes(root: Path) -> None:
    put(root / "images/1.jpg")
    write_coco(
        root / "train.json",
        [image(1, "images/1.jpg")],
        [],
        [{"id": number, "name": f"class {number}"} for number in range(150_000)],
    )


def unpacked(root: Path) -> None:
    header = bytes((0, 0, 8, 3)) + struct.pack(">III", 1, 1, 400 * 1024 * 1024)
    data = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = data.compress(header) + b"".join(data.compress(bytes(1 << 20)) for _ in range(300)) + data.flush()
    (root / "train-images-idx3-ubyte.gz").write_bytes(packed)
    (root / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8)))


def vast_mask(root: Path) -> None:
    put(root / "images/a.png")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    (root / "masks").mkdir()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    (root / "masks/a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b""))
    write_lines(root / "classes.csv", "class_id,class_name", "0,a", "1,b")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (unfolding, "alias"),
        (deep_yaml, "nested too deep|not YAML"),
        (long_yaml, "the limit is 1048576"),
        (endless_number, "neither a list"),
        (deep_json, "nested too deep"),
        (long_number, "a number in it is too long"),
        (many_lists, "too many for one file"),
        (many_points, "1000000 points"),
        (long_rim, "a rim of more than"),
        (far_point, "outside"),
        (vast_picture, "no picture may be so large"),
        (vast_xml, "the limit is 4194304"),
        (entities, "document type or entities"),
        (many_columns, "20001 columns"),
        (long_field, "more than 1048576 characters"),
        (many_classes, "150000 classes"),
        (unpacked, "once it is unpacked"),
        (vast_mask, "no picture may be so large"),
    ],
)
def test_data_that_unfolds_is_refused_before_it_does(tmp_path, make: Callable[[Path], None], words: str):
    make(tmp_path)
    task = None if make in (many_columns, long_field, unpacked, vast_mask) else "detection"
    with pytest.raises(DataInvalidError, match=words):
        require_none(check_dataset(read_dataset(tmp_path, task=task)).problems, "DATA", "")


def test_too_many_files_and_rows_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "MOST_FILES", 20)
    monkeypatch.setattr(tables, "_MOST_ROWS", 5)
    write_lines(tmp_path / "labels.csv", "file,label", *(f"{n}.jpg,a" for n in range(6)))
    assert "more than 5 rows" in refusal(tmp_path, None)
    for number in range(25):
        (tmp_path / f"{number}.jpg").touch()
    assert "more than 20 files" in refusal(tmp_path, None)


def test_the_limit_on_annotations_can_be_raised(tmp_path):
    padding = [{"id": number, "image_id": 1, "note": "x" * 100} for number in range(12_000)]
    coco(tmp_path)
    document = json.loads((tmp_path / "train.json").read_text())
    (tmp_path / "train.json").write_text(json.dumps({**document, "more": padding}))
    limit_annotations(1)
    assert "the limit is 1048576" in refusal(tmp_path)
    limit_annotations(2)
    assert len(read_dataset(tmp_path, task="detection").samples) == 2


def classes(root: Path) -> Path:
    for number, name in enumerate(("train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/b/4.jpg")):
        put(root / name, number)
    return root


@pytest.mark.parametrize("target", ["outside/x.jpg", "outside/gone.jpg", "outside"])
def test_a_link_out_of_the_roots_is_refused_in_the_same_words_whatever_it_leads_to(tmp_path, target):
    data = classes(tmp_path / "data")
    put(tmp_path / "outside/x.jpg", 5)
    (data / "train/a/link").symlink_to(tmp_path / target)
    confine(DataRoots([str(data)]))
    assert refusal(data, None) == (
        "train/a/link: it is a link that leads out of the folders of TRUNKLINE_TRAINING_DATA_ROOTS"
    )


def test_links_within_the_roots_are_followed(tmp_path):
    data = classes(tmp_path / "data")
    (tmp_path / "views").mkdir()
    (tmp_path / "views/mine").symlink_to(data)
    confine(DataRoots([str(tmp_path)]))
    assert len(read_dataset(tmp_path / "views/mine").samples) == 4


def test_a_link_that_appears_after_the_check_is_not_followed(tmp_path):
    data = classes(tmp_path / "data")
    put(tmp_path / "outside/x.jpg", 5)
    confine(DataRoots([str(data)]))
    sample = read_dataset(data).samples[0]
    assert sample.encoded()
    (data / sample.name).unlink()
    (data / sample.name).symlink_to(tmp_path / "outside/x.jpg")
    with pytest.raises(DataInvalidError, match=f"^{sample.name}: cannot be read: it leads out of the folders"):
        sample.encoded()
    # A folder above it is as good.
    (tmp_path / "outside/deeper").mkdir()
    put(tmp_path / "outside/deeper/2.jpg", 6)
    other = read_dataset_of(data)[1]
    (data / "train/b").rename(tmp_path / "b")
    (data / "train/b").symlink_to(tmp_path / "outside/deeper")
    with pytest.raises(DataInvalidError, match="leads out of the folders"):
        other.encoded()


def read_dataset_of(data: Path) -> list:
    """The samples of classes(), once the link in it is a picture again."""
    link = data / "train/a/1.jpg"
    link.unlink()
    put(link)
    return list(read_dataset(data).samples)


@pytest.mark.parametrize("name", ["labels.csv", "train.json"])
def test_a_file_that_is_named_itself_may_not_list_links_out_of_the_roots(tmp_path, name):
    data = tmp_path / "data"
    put(tmp_path / "outside.jpg")
    put(data / "a.jpg")
    (data / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    put(data / "b.jpg", 1)
    write_lines(data / "labels.csv", "file,label", "a.jpg,a", "b.jpg,b", "link.jpg,b")
    write_coco(data / "train.json", [image(1, "a.jpg"), image(2, "link.jpg")], [annotation(1, 1)])
    confine(DataRoots([str(data)]))
    assert "missing" in refusal(data / name, "detection" if name == "train.json" else "classification")


def test_data_outside_of_the_roots_is_not_looked_at(tmp_path):
    data = classes(tmp_path / "data")
    confine(DataRoots([str(tmp_path / "other")]))
    for path in (data, tmp_path / "nothing", data / "train/a/1.jpg"):
        with pytest.raises(DataForbiddenError, match="is not below a folder of TRUNKLINE_TRAINING_DATA_ROOTS"):
            read_dataset(path)
