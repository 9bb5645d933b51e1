"""By what the samples of a run are known again, in a manifest."""

import hashlib
from collections.abc import Sequence

from trunkline.core.evaluation import Evaluation, evaluation_digest
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.outlines import Outline


def known_by(dataset: Dataset, split: str, samples: Sequence[Sample]) -> Evaluation:
    """What says whether other samples are the same: names, bytes, and what the data says is true of them."""
    named = ((f"{sample.name}|{_truth(dataset, sample)}", sample.encoded()) for sample in samples)
    return Evaluation(data=dataset.root.name, split=split, count=len(samples), digest=evaluation_digest(named))


def _truth(dataset: Dataset, sample: Sample) -> str:
    if dataset.classes and sample.objects is not None:
        objects = (
            f"{dataset.classes[each.label]}|{each.box}|{each.crowd}|{_pixels_digest(each.mask)}"
            for each in sample.objects
        )
        return hashlib.sha256("\n".join(objects).encode()).hexdigest()
    if sample.points is not None:
        places = (f"{dataset.classes[each.label]}|{each.x}|{each.y}|{each.seen}" for each in sample.points.places)
        return hashlib.sha256("\n".join(places).encode()).hexdigest()
    if sample.mask is not None:
        return hashlib.sha256(sample.mask.load().tobytes()).hexdigest()
    if sample.labels is not None:
        return repr([dataset.classes[each] for each in sample.labels])
    return repr(sample.targets) if sample.label is None else dataset.classes[sample.label]


def _pixels_digest(mask: Outline | None) -> str:
    return "" if mask is None else hashlib.sha256(mask.load().tobytes()).hexdigest()
