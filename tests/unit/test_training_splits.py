"""Which pictures are learned from, which pick the epoch, which are measured."""

from pathlib import Path

import pytest

from trunkline.core.errors import InvalidRequestError
from trunkline.core.train_request import TrainRequest
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.wanted import wanted

SPLITS = ("train", "val", "test")


def dataset(*splits: str) -> Dataset:
    samples = [Sample(f"{split}/{number}.png", split, 0, (), bytes) for split in splits for number in range(3)]
    return Dataset(Path("a"), "folders", ("a",), (), tuple(samples))


def names(samples) -> set[str]:
    return {sample.split for sample in samples}


@pytest.mark.parametrize(
    ("given", "learned", "measured", "picks"),
    [
        (SPLITS, ("train",), "test", {"val"}),
        (SPLITS, ("train", "val"), "test", set()),
        (SPLITS, ("train",), "val", set()),
        (("train", "val"), ("train",), "val", set()),
        (("train", "test"), ("train",), "test", set()),
    ],
)
def test_what_picks_the_epoch_is_neither_learned_from_nor_measured(given, learned, measured, picks):
    request = TrainRequest(name="a", data="a", train_splits=learned, test_split=measured)
    found = wanted(request, dataset(*given))
    assert names(found.train) == set(learned)
    assert names(found.validation) == picks
    assert names(found.test) == {measured}


def test_a_split_is_not_learned_from_and_measured():
    request = TrainRequest(name="a", data="a", train_splits=("train", "val"), test_split="val")
    with pytest.raises(InvalidRequestError, match="cannot be learned from and evaluated on"):
        wanted(request, dataset(*SPLITS))
