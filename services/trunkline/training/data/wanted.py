"""The samples that a run learns from, picks its best epoch by, and is measured on."""

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.core.errors import InvalidRequestError
from trunkline.core.train_request import TrainRequest
from trunkline.training.data.dataset import Dataset, Sample


@dataclass(frozen=True)
class Wanted:
    train: Sequence[Sample]
    validation: Sequence[Sample]
    test: Sequence[Sample]


def wanted(request: TrainRequest, dataset: Dataset) -> Wanted:
    """Raises InvalidRequestError where a split has too few pictures, or is learned from and evaluated on."""
    learned_from = set(request.train_splits)
    # An epoch picked by what is measured afterwards would flatter the measurement.
    taken = request.validation_split in learned_from | {request.test_split}
    found = Wanted(
        train=dataset.of_split(*request.train_splits),
        validation=() if taken else dataset.of_split(request.validation_split),
        test=dataset.of_split(request.test_split),
    )
    _require(found.train, "train on", ", ".join(request.train_splits), dataset)
    _require(found.test, "evaluate on", request.test_split, dataset)
    if request.test_split in learned_from:
        raise InvalidRequestError(f"split {request.test_split!r} cannot be learned from and evaluated on")
    return found


def _require(part: Sequence[Sample], what: str, names: str, dataset: Dataset) -> None:
    if len(part) < 2:
        have = sorted({sample.split or "(none)" for sample in dataset.samples})
        raise InvalidRequestError(
            f"nothing to {what}: no pictures of split {names}; the data has {have}: "
            "put pictures below train/ and test/, add a column split, or name other splits"
        )
