"""What a data set is: samples with a class, numbers, a mask or objects, and the split that each belongs to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.masks import Mask
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.points import PointTruth
from trunkline.training.data.reading import reason_of
from trunkline.training.data.remarks import Remarks


@dataclass(frozen=True)
class Sample:
    """One picture and what is known of it. Equal where all but `read` is.

    name: path below the root with "/", or such as "train12k[17]" for a picture in an idx file.
    split: "train", "val", "test", or "" where none is given.
    label: index into the classes; None in regression. targets: in the order of target_names; () in classification.
    read: the encoded bytes, read anew at each call; raises OSError. Can be pickled.
    mask: the class of every pixel, in segmentation.
    objects: in detection, () for a picture with none; None where the data has no boxes.
    size: (width, height) that the data declares for the upright picture, or None.
    labels: indices into the classes, where a picture may have several.
    pairs: names of other pictures, and whether they show the same thing, where the data says so by pairs.
    points: the named points of the one object that it shows; `labels` are those that are known.
    part_of: name of the picture that it was cut out of, "" where it is one.
    """

    name: str
    split: str
    label: int | None
    targets: tuple[float, ...]
    read: Callable[[], bytes] = field(compare=False, repr=False)
    mask: Mask | None = field(default=None, compare=False, repr=False)
    objects: tuple[ObjectTruth, ...] | None = field(default=None, repr=False)
    size: tuple[int, int] | None = None
    labels: tuple[int, ...] | None = None
    pairs: tuple[tuple[str, bool], ...] = field(default=(), compare=False, repr=False)
    points: PointTruth | None = field(default=None, repr=False)
    part_of: str = ""

    def encoded(self) -> bytes:
        """What `read` gives. Raises DataInvalidError with the name where it cannot be read."""
        try:
            return self.read()
        except OSError as error:
            raise DataInvalidError.at(self.name, f"cannot be read: {reason_of(error)}") from error

    def relabelled(self, labels: Sequence[int]) -> "Sample":
        """The same sample with other labels: `labels` by the old ones."""
        objects = self.objects and tuple(replace(each, label=labels[each.label]) for each in self.objects)
        mask = self.mask.relabelled(labels) if self.mask is not None else None
        label = None if self.label is None else labels[self.label]
        several = self.labels and tuple(sorted(labels[each] for each in self.labels))
        points = self.points and self.points.relabelled(labels)
        return replace(self, label=label, labels=several, mask=mask, objects=objects, points=points)


@dataclass(frozen=True)
class OneShotRun:
    """A published test: one example of each class, and pictures to be sorted to them.

    truth: index into the support, for each query. Samples have no label.
    """

    name: str
    support: tuple[Sample, ...]
    queries: tuple[Sample, ...]
    truth: tuple[int, ...]


@dataclass(frozen=True)
class Dataset:
    """layout: "folders", "csv", "flowers102", "pets", "bccd", "mnist", "camvid", "masks", "voc-masks", "coco", "voc",
    "yolo", "omniglot", "pairs", "labelme", "cvat",
    "label-studio", "metadata", "via", "one-hot" or "flaws", of which class 0 is good and alone for training.

    classes: names in the order of the labels, () for regression. target_names: () for classification.
    runs: one-shot tests that come with the data.
    skipped: what lay between the pictures and was left out; folders end in "/".
    remarks: what was read otherwise than it stands there, what was left out, and faults: nothing may be learned while
    there are any.
    """

    root: Path
    layout: str
    classes: tuple[str, ...]
    target_names: tuple[str, ...]
    samples: tuple[Sample, ...]
    skipped: tuple[str, ...] = ()
    remarks: Remarks = field(default_factory=Remarks, compare=False, repr=False)
    runs: tuple[OneShotRun, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        """What makes the whole meaningless."""
        return tuple(self.remarks.faults)

    def of_split(self, *splits: str) -> tuple[Sample, ...]:
        """The samples of these splits, in the order of the data set."""
        return tuple(sample for sample in self.samples if sample.split in splits)
