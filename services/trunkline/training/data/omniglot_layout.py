"""Omniglot's own layout: alphabets with a folder for each character, some of them for testing, and one-shot runs."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.core.text import printable
from trunkline.training.data.classes import in_order, require_two
from trunkline.training.data.dataset import Dataset, OneShotRun, Sample
from trunkline.training.data.files import below
from trunkline.training.data.names import listed
from trunkline.training.data.reading import is_file, read_picture
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.texts import lines_of_text, read_text

# Folder to split; the second names are those of the official archives.
_PARTS: Final = {
    "background": "train",
    "evaluation": "test",
    "images_background": "train",
    "images_evaluation": "test",
}
_RUNS, _ANSWERS = "oneshot_runs", "class_labels.txt"


def read_omniglot(root: Path, remarks: Remarks) -> Dataset | None:
    """The data set, or None where the folder has no part with alphabets. Classes are ALPHABET/CHARACTER.

    A run whose answers are no pairs of its pictures is left out. Raises DataInvalidError for fewer than two classes;
    OSError.
    """
    parts = {part: split for part, split in _PARTS.items() if _has_alphabets(root / part)}
    if {"train", "test"} - set(parts.values()):
        return None
    found = [
        (path, split)
        for part, split in parts.items()
        for folder in sorted((root / part).glob("*/*"))
        for path in listed(folder, ".png")
    ]
    names = [printable(f"{path.parent.parent.name}/{path.parent.name}") for path, _ in found]
    classes = in_order(names)
    require_two(classes, root)
    index = {name: label for label, name in enumerate(classes)}
    samples = tuple(_sample(root, path, split, index[name]) for (path, split), name in zip(found, names, strict=True))
    return Dataset(root, "omniglot", classes, (), samples, remarks=remarks, runs=tuple(_runs(root, remarks)))


def _has_alphabets(part: Path) -> bool:
    return part.is_dir() and next(part.glob("*/character*/*.png"), None) is not None


def _runs(root: Path, remarks: Remarks) -> Iterator[OneShotRun]:
    for folder in sorted((root / _RUNS).glob("run*")):
        try:
            yield _run(root, folder, remarks)
        except DataInvalidError as error:
            where = folder.relative_to(root).as_posix()
            remarks.leave_out("picture", Kind.TEXT, where, f"the run cannot be read: {error.message}")


def _run(root: Path, folder: Path, remarks: Remarks) -> OneShotRun:
    support = tuple(_sample(root, path, "", None) for path in listed(folder / "training", ".png"))
    index = {f"{folder.name}/training/{Path(sample.name).name}": place for place, sample in enumerate(support)}
    queries, truth = [], []
    for line, text in enumerate(lines_of_text(read_text(folder / _ANSWERS, folder.name, remarks)), 1):
        if not text.strip():
            continue
        query, _, answer = text.strip().partition(" ")
        path = below(root, folder.parent, query) if query else None
        if path is None or not is_file(path) or answer not in index:
            raise DataInvalidError.at(folder / _ANSWERS, "it is no test picture with its training picture", line)
        queries.append(_sample(root, path, "", None))
        truth.append(index[answer])
    return OneShotRun(folder.name, support, tuple(queries), tuple(truth))


def _sample(root: Path, path: Path, split: str, label: int | None) -> Sample:
    return Sample(printable(path.relative_to(root).as_posix()), split, label, (), partial(read_picture, path))
