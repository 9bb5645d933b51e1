"""What all writers of data sets share: the pictures, the splits, and what a format cannot hold."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.errors import DataInvalidError
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.training.convert.picture_names import PictureNames
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.splits import FOR_TRAINING, NONE

Progress = Callable[[int, int], None]  # done, of all


@dataclass(frozen=True)
class Job:
    """A data set to be written into the folder `stage`, which is empty.

    link: whether pictures are hard links where they are files. remarks: what the format cannot hold.
    """

    dataset: Dataset
    stage: Path
    link: bool
    remarks: Remarks
    progress: Progress

    def pictures(self, folder: Callable[[Sample, str], str]) -> Iterator[tuple[Sample, str, str]]:
        """Each sample with its split and the name that its picture gets, no two of one stem in a folder.

        folder: of a sample and its split; the writer puts the picture there with `put`.
        """
        names, samples = PictureNames(self.remarks), self.dataset.samples
        splits = {sample.split for sample in samples}
        for done, sample in enumerate(samples):
            self.progress(done, len(samples))
            split = sample.split
            if split == NONE and len(splits) > 1:
                split = FOR_TRAINING[0]
                self.remarks.read(Kind.SPLIT_GIVEN, sample.name, f"it has no split, others have: it goes to {split}")
            yield sample, split, names.name(sample, folder(sample, split))
        self.progress(len(samples), len(samples))

    def put(self, sample: Sample, path: Path) -> None:
        """Write the picture of a sample, or link it. Raises DataInvalidError that says why it cannot be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        source = self.dataset.root / sample.name
        if not self.link or source.suffix.lower() not in PICTURE_SUFFIXES or not source.is_file():
            path.write_bytes(sample.encoded())
            return
        try:
            os.link(os.path.realpath(source), path)
        except OSError as error:
            reason = f"it cannot be linked: {error.strerror}; without --link it is copied"
            raise DataInvalidError.at(sample.name, reason) from error

    def lose(self, sample: Sample, each: ObjectTruth, text: str, *, whole: bool = False) -> None:
        """Say what the format cannot hold of an object; whole: all of it."""
        where = f"{sample.name}: {each.name}" if each.name else sample.name
        if whole:
            self.remarks.leave_out("object", Kind.NOT_HELD, where, text)
        else:
            self.remarks.read(Kind.NOT_HELD, where, text)

    def rename(self, plain: Callable[[str], str]) -> list[str]:
        """Names of the classes as the format has them, in order. Raises DataInvalidError where two are equal then."""
        found = [plain(name) for name in self.dataset.classes]
        for place, (name, new) in enumerate(zip(self.dataset.classes, found, strict=True), 1):
            if name != new:
                text = f"class {place} of {len(found)} has a name that the format cannot hold; it is changed"
                self.remarks.read(Kind.RENAMED, self.dataset.root.name, text)
        if len(set(found)) < len(found) or not all(found):
            reason = "the format cannot hold the names of the classes apart: rename them"
            raise DataInvalidError.at(self.dataset.root, reason)
        return found

    def say_order(self, kept: Sequence[str], classes: Sequence[str]) -> None:
        """Say where a format without a list of classes has others, or another order. kept: those that it has."""
        lost = len(classes) - len(kept)
        if lost:
            text = f"{lost} of {len(classes)} classes have nothing and are not held"
            self.remarks.read(Kind.NOT_HELD, self.dataset.root.name, text)
        elif list(kept) != list(classes):
            text = "the order of the classes is not held: it is that of their names"
            self.remarks.read(Kind.NOT_HELD, self.dataset.root.name, text)
