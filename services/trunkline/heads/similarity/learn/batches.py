"""Batches in which there is something to compare: several classes, several pictures of each."""

from collections.abc import Iterable

import numpy as np
from pytorch_metric_learning.samplers import MPerClassSampler
from torch import Tensor
from torch.utils.data import BatchSampler

_EACH = 4  # pictures of a class


def class_batches(truth: Tensor, size: int, steps: int, *, fixed: bool) -> Iterable[list[int]]:
    """`steps` batches of about `size` indices: P classes of K pictures each, some again where a class has too few.

    K is 4, or more where there are few classes. fixed: the same batches in every epoch. truth: int64 (N,). Source:
    Hermans, Beyer, Leibe, In Defense of the Triplet Loss for Person Re-Identification, 2017, section 2.
    """
    classes = len(np.unique(truth.numpy()))
    each = max(_EACH, size // classes)
    size = each * min(classes, max(2, size // each))
    sampler = BatchSampler(MPerClassSampler(truth, each, size, steps * size), size, drop_last=False)
    return list(sampler) if fixed else sampler
