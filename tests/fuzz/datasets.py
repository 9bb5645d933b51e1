"""Data sets in every layout with something wrong, read and looked through as before a training."""

import gzip
import json
from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image

from tests.fuzz.case import unpack
from tests.fuzz.child import Child
from tests.fuzz.folders import Files, laid_out, made
from tests.fuzz.loop import Fault
from tests.fuzz.seeds import SIZE, encoded
from trunkline.core.errors import TrunklineError
from trunkline.training.data.check import check_dataset
from trunkline.training.data.read import read_dataset


def _picture(number: int) -> bytes:
    return encoded("PNG", Image.new("RGB", SIZE, (40 * number % 256, 99, 7)))


def _mask() -> bytes:
    return encoded("PNG", Image.fromarray(np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE[::-1]) % 2))


_NAMES = [f"{number}.png" for number in range(6)]
_PICTURES = {f"images/{name}": _picture(number) for number, name in enumerate(_NAMES)}
_SPLITS = ("train", "train", "train", "val", "test", "test")


def _table(head: str, row: Callable[[int, str], str]) -> bytes:
    rows = [row(number, f"images/{name}") for number, name in enumerate(_NAMES)]
    return "\n".join([head, *rows, ""]).encode()


def _classes() -> Files:
    return _PICTURES | {
        "labels.csv": _table("file,label,split", lambda n, name: f"{name},{'ab'[n % 2]},{_SPLITS[n]}")
    }


def _numbers() -> Files:
    return _PICTURES | {"labels.csv": _table("file,size,split", lambda n, name: f"{name},{n * 1.5},{_SPLITS[n]}")}


def _folders() -> Files:
    return {f"{_SPLITS[n]}/{'ab'[n % 2]}/{name}": _picture(n) for n, name in enumerate(_NAMES)}


def _masks() -> Files:
    return _PICTURES | {f"masks/{name}": _mask() for name in _NAMES} | {
        "classes.csv": b"class_id,class_name\n0,dark\n1,bright\n7,void\n"
    }  # fmt: skip


def _coco() -> Files:
    images = [
        {"id": n, "file_name": f"images/{name}", "width": SIZE[0], "height": SIZE[1]} for n, name in enumerate(_NAMES)
    ]
    corners = [[4, 4, 20, 4, 20, 18, 4, 18]]
    rle = {"size": [SIZE[1], SIZE[0]], "counts": [10, 40, SIZE[0] * SIZE[1] - 50]}
    annotations = [
        {"id": n, "image_id": n, "category_id": 7, "bbox": [4, 4, 16, 14], "iscrowd": n % 2, "area": 224,
         "segmentation": rle if n % 2 else corners}
        for n in range(len(_NAMES))
    ]  # fmt: skip
    categories = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
    return _PICTURES | {
        "train.json": json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode()
    }


def _voc() -> Files:
    files: dict[str, bytes] = {}
    for number, name in enumerate(_NAMES):
        stem = name.removesuffix(".png")
        files[f"JPEGImages/{name}"] = _picture(number)
        files[f"Annotations/{stem}.xml"] = (
            f"<annotation><filename>{name}</filename><size><width>{SIZE[0]}</width><height>{SIZE[1]}</height>"
            f"<depth>3</depth></size><object><name>{'ab'[number % 2]}</name><difficult>0</difficult><bndbox>"
            "<xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>21</ymax></bndbox></object></annotation>"
        ).encode()
    files["ImageSets/Main/train.txt"] = b"0\n1\n2\n"
    files["ImageSets/Main/test.txt"] = b"3\n4\n5\n"
    return files


def _yolo() -> Files:
    files = {f"images/{_SPLITS[n]}/{name}": _picture(n) for n, name in enumerate(_NAMES)}
    for number, name in enumerate(_NAMES):
        line = "0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.6 0.1 0.6 0.7\n"
        files[f"labels/{_SPLITS[number]}/{name.removesuffix('.png')}.txt"] = line.encode()
    files["data.yaml"] = b"path: .\ntrain: images/train\nval: images/val\ntest: images/test\nnames:\n  0: a\n  1: b\n"
    return files


def _idx() -> Files:
    images = b"\x00\x00\x08\x03" + np.array([3, 28, 28], ">u4").tobytes() + bytes(3 * 28 * 28)
    labels = b"\x00\x00\x08\x01" + np.array([3], ">u4").tobytes() + b"\x01\x02\x03"
    pairs = {"images-idx3-ubyte.gz": images, "labels-idx1-ubyte.gz": labels}
    return {
        f"{split}-{end}": gzip.compress(data, mtime=0) for split in ("train", "t10k") for end, data in pairs.items()
    }


def _pairs() -> Files:
    rows = [
        f"images/{a}.png,images/{b}.png,{same},train" for a, b, same in ((0, 1, 1), (2, 3, 1), (0, 4, 0), (2, 5, 0))
    ]
    return _PICTURES | {"pairs.csv": "\n".join(["a,b,same,split", *rows, ""]).encode()}


def _omniglot() -> Files:
    files = {
        f"{part}/Greek/character0{number % 2}/{number}.png": _picture(number)
        for part in ("images_background", "images_evaluation")
        for number in range(4)
    }
    for number in range(2):
        files[f"oneshot_runs/run01/training/class0{number}.png"] = _picture(number)
        files[f"oneshot_runs/run01/test/item0{number}.png"] = _picture(number)
    files["oneshot_runs/run01/class_labels.txt"] = b"".join(
        b"run01/test/item0%d.png run01/training/class0%d.png\n" % (number, number) for number in range(2)
    )
    return files


# Layout to its files and the tasks that it is read for.
LAYOUTS: dict[str, tuple[Callable[[], Files], tuple[str | None, ...]]] = {
    "classes": (_classes, (None, "classification", "similarity")),
    "numbers": (_numbers, (None, "regression")),
    "folders": (_folders, (None, "classification")),
    "masks": (_masks, (None, "segmentation")),
    "coco": (_coco, (None, "detection", "segmentation")),
    "voc": (_voc, (None, "detection", "segmentation")),
    "yolo": (_yolo, (None, "detection", "segmentation")),
    "idx": (_idx, (None, "classification")),
    "pairs": (_pairs, (None, "similarity")),
    "omniglot": (_omniglot, (None, "similarity")),
}


class Datasets:
    def __init__(self) -> None:
        self._child = Child("tests.fuzz.datasets:look_through")

    def make(self, dice: Random) -> bytes:
        files, tasks = LAYOUTS[dice.choice(sorted(LAYOUTS))]
        targets = dice.choice(((), (), (), ("size",), ("angle",), ("x" * 300,)))
        return made(dice, {"task": dice.choice(tasks), "targets": targets}, files())

    def check(self, data: bytes) -> Fault | None:
        return self._child.check(data)

    def finish(self) -> Fault | None:
        self._child.close()
        return None


def look_through(data: bytes) -> None:
    case = unpack(data)
    with laid_out(case) as root:
        try:
            dataset = read_dataset(root, targets=case.header["targets"], task=case.header["task"])
            check_dataset(dataset, workers=1)
        except TrunklineError as error:
            if len(error.message) > 4096:
                raise ValueError(f"a message of {len(error.message)} characters") from error
