"""Pictures and objects that a look found to be broken, and the data without them."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.remarks import Kind, Remarks


@dataclass
class Unsound:
    """pictures: (split, name). objects: (split, name of the picture, name of the object)."""

    pictures: set[tuple[str, str]] = field(default_factory=set)
    objects: set[tuple[str, str, str]] = field(default_factory=set)

    def left_out_of(self, dataset: Dataset) -> Dataset:
        """The data without them. Of a note, the split is that at the time of the look."""
        if not self.pictures and not self.objects:
            return dataset
        kept = [sample for sample in dataset.samples if (sample.split, sample.name) not in self.pictures]
        if not self.objects:
            return replace(dataset, samples=tuple(kept))
        pictures = {pair[:2] for pair in self.objects}
        return replace(
            dataset,
            samples=tuple(
                self._without(sample) if (sample.split, sample.name) in pictures else sample for sample in kept
            ),
        )

    def _without(self, sample: Sample) -> Sample:
        kept = (each for each in sample.objects or () if (sample.split, sample.name, each.name) not in self.objects)
        return replace(sample, objects=tuple(kept))


def write_note(path: Path, unsound: Unsound, remarks: Remarks) -> None:
    """What a look found, so that a run that goes on needs no second one."""
    note = {
        "pictures": sorted(unsound.pictures),
        "objects": sorted(unsound.objects),
        "remarks": dict(remarks.counts),
        "left_out": dict(remarks.left_out),
    }
    path.write_text(json.dumps(note), encoding="utf-8")


def read_note(path: Path) -> tuple[Unsound, Remarks] | None:
    """What was found, with the counts of remarks alone; None where there is no note, or none that can be read."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        unsound = Unsound(set(map(tuple, note["pictures"])), set(map(tuple, note["objects"])))
        remarks = Remarks()
        remarks.counts.update({Kind(kind): count for kind, count in note["remarks"].items()})
        remarks.left_out.update(note["left_out"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return unsound, remarks
