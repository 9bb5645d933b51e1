"""What a data set is: samples with a class or with numbers, and the split that each belongs to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from trunkline.training.data.masks import MaskFile


@dataclass(frozen=True)
class Sample:
    """One picture and what is known of it. Equal where all but `read` is.

    name: path below the root with "/", or such as "train12k[17]" for a picture in an idx file.
    split: "train", "val", "test", or "" where none is given.
    label: index into the classes; None in regression. targets: in the order of target_names; () in classification.
    read: the encoded bytes, read anew at each call; raises OSError. Can be pickled.
    mask: the class of every pixel, in segmentation.
    pairs: names of other pictures, and whether they show the same thing, where the data says so by pairs.
    """

    name: str
    split: str
    label: int | None
    targets: tuple[float, ...]
    read: Callable[[], bytes] = field(compare=False, repr=False)
    mask: MaskFile | None = field(default=None, compare=False, repr=False)
    pairs: tuple[tuple[str, bool], ...] = field(default=(), compare=False, repr=False)


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
    """layout: "folders", "csv", "flowers102", "pets", "bccd", "mnist", "camvid", "masks", "omniglot" or "pairs".

    classes: names in the order of the labels, () for regression. target_names: () for classification.
    runs: one-shot tests that come with the data.
    skipped: what lay between the pictures and was left out; folders end in "/".
    """

    root: Path
    layout: str
    classes: tuple[str, ...]
    target_names: tuple[str, ...]
    samples: tuple[Sample, ...]
    skipped: tuple[str, ...] = ()
    runs: tuple[OneShotRun, ...] = ()

    def of_split(self, *splits: str) -> tuple[Sample, ...]:
        """The samples of these splits, in the order of the data set."""
        return tuple(sample for sample in self.samples if sample.split in splits)
