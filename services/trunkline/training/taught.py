"""Learning from the answers of another head, beside labels that people made.

In pictures without labels, what the teacher is sure of is an object, and what it is less sure of is neither an object
nor background. In pictures with labels, what it finds where there is no label is no background either, as it may be
an object that nobody has annotated.
Source: Lee, Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method, 2013; Sohn et al., A Simple
Semi-Supervised Learning Framework for Object Detection (STAC), 2020, for a threshold on the score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError
from trunkline.core.progress import Watcher
from trunkline.core.repository import Repository
from trunkline.core.results import Detection, Detections
from trunkline.core.suffixes import PICTURE_SUFFIXES
from trunkline.core.train_request import TrainRequest
from trunkline.heads.detection.matches import overlap
from trunkline.training.data.dataset import Sample
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.reading import read_picture, require_allowed
from trunkline.training.evaluation import answers

_SURE, _PERHAPS = 0.5, 0.2  # scores from which an answer is an object, and from which it may be one
_SAME = 0.5  # overlap of an answer with the label that it is about
_SHOWN = 10


@dataclass(frozen=True)
class Teacher:
    """labels: by the teacher's label the one of the data, for classes that both know."""

    head: Bundle[HeadManifest]
    backbone: Bundle[BackboneManifest]
    labels: Mapping[int, int]


def teacher_of(request: TrainRequest, classes: Sequence[str], repository: Repository) -> Teacher | None:
    """None where none is asked for. Raises NotFoundError for the head, InvalidRequestError where it cannot teach."""
    if request.teacher is None:
        return None
    head = repository.head(request.teacher)
    name = head.manifest.name
    if head.manifest.task != request.task:
        raise InvalidRequestError(f"head {name!r} cannot teach {request.task}: its task is {head.manifest.task}")
    for known, asked in ((head.labels, request.taught.keys()), (classes, request.taught.values())):
        for label in asked:
            if label not in known:
                raise InvalidRequestError(f"taught: no class {label!r}; known: {', '.join(known[:_SHOWN])}")
    ours = {label: request.taught.get(label, label) for label in head.labels}
    labels = {index: classes.index(ours[label]) for index, label in enumerate(head.labels) if ours[label] in classes}
    if not labels:
        raise InvalidRequestError(
            f"teacher {name!r} knows none of the classes {', '.join(classes[:_SHOWN])}; say which of its own they "
            f"are with --taught, as in --taught {head.labels[0]}={classes[0]}"
        )
    of = head.manifest.backbone
    return Teacher(head, repository.backbone(of.name, of.version), labels)


def taught(
    teacher: Teacher, samples: Sequence[Sample], unlabelled: str | None, watcher: Watcher
) -> tuple[list[Sample], str]:
    """The samples as the teacher sees them too, then pictures of the folder; and a sentence for the card.

    Raises InvalidRequestError for a folder without pictures, DataForbiddenError, DataInvalidError that names a
    picture.
    """
    further = _pictures(Path(unlabelled)) if unlabelled is not None else []
    seen = _asked(teacher, [*samples, *further], watcher)
    known = [_beside_labels(*pair) for pair in zip(samples, seen[: len(samples)], strict=True)]
    found = [_alone(*pair) for pair in zip(further, seen[len(samples) :], strict=True)]
    origin, manifest = teacher.head.manifest.origin, teacher.head.manifest
    count = sum(not each.crowd for sample in found for each in sample.objects or ())
    further_ones = f", and of {count} objects that it finds in {len(found)} pictures without labels" if found else ""
    note = (
        f"It learned from answers of head {manifest.name} version {manifest.version} (terms: {origin.licence}) too: "
        f"of what may be an object without a label{further_ones}."
    )
    return known + found, note


def _pictures(folder: Path) -> list[Sample]:
    require_allowed(folder)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not found:
        raise InvalidRequestError(f"{folder} has no pictures to be taught on")
    return [
        Sample(path.relative_to(folder).as_posix(), "train", None, (), partial(read_picture, path), objects=())
        for path in found
    ]


def _asked(teacher: Teacher, samples: Sequence[Sample], watcher: Watcher) -> list[list[tuple[int, Detection]]]:
    """For each picture, what the teacher answers, with our label."""
    asked = {"score_threshold": _PERHAPS, "classes": [teacher.head.labels[index] for index in teacher.labels]}
    found = answers(teacher.head, teacher.backbone, samples, partial(watcher.stage, "teacher"), asked)
    return [
        [(teacher.labels[each.label.index], each) for each in answer.objects]
        for answer in found
        if isinstance(answer, Detections)
    ]


def _beside_labels(sample: Sample, seen: Sequence[tuple[int, Detection]]) -> Sample:
    objects = sample.objects or ()
    unknown = [
        ObjectTruth(label, each.box, crowd=True, name="taught")
        for label, each in seen
        if all(overlap(each.box, other.box) < _SAME for other in objects)
    ]
    return replace(sample, objects=(*objects, *unknown))


def _alone(sample: Sample, seen: Sequence[tuple[int, Detection]]) -> Sample:
    objects = (ObjectTruth(label, each.box, crowd=each.label.score < _SURE, name="taught") for label, each in seen)
    return replace(sample, objects=tuple(objects))
