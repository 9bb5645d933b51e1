"""Data sets with a folder for each class, below those of the splits where there are any."""

from trunkline.training.convert.picture_names import plain_name
from trunkline.training.convert.writing import Job
from trunkline.training.data.classes import in_order
from trunkline.training.data.dataset import Sample


def write_folders(job: Job) -> None:
    """SPLIT/CLASS/PICTURE, or CLASS/PICTURE without splits."""
    classes, used = job.rename(plain_name), set[int]()

    def folder(sample: Sample, split: str) -> str:
        assert sample.label is not None
        used.add(sample.label)
        return f"{split}/{classes[sample.label]}" if split else classes[sample.label]

    for sample, split, name in job.pictures(folder):
        job.put(sample, job.stage / folder(sample, split) / name)
    job.say_order(in_order(classes[label] for label in used), classes)
