"""What a head teaches another: which classes, and what its answers are worth beside labels."""

from dataclasses import replace

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from trunkline.core.errors import InvalidRequestError
from trunkline.core.progress import Watcher
from trunkline.core.repository import Repository
from trunkline.core.train_request import TrainRequest, parse_request
from trunkline.heads.detection.matches import overlap
from trunkline.training.data.read import read_dataset
from trunkline.training.taught import taught, teacher_of

QUIET = Watcher(lambda stage, done, total: None, lambda epoch: None)


def request(**fields):
    return TrainRequest(name="pupil", data="x", task="detection", **fields)


def test_classes_are_known_by_their_names_or_as_the_request_says(models):
    repository = Repository(models)
    assert teacher_of(request(), ["WBC"], repository) is None
    teacher = teacher_of(request(teacher="bccd"), ["Platelets", "dust", "RBC"], repository)
    names = {teacher.head.labels[theirs]: ours for theirs, ours in teacher.labels.items()}
    assert names == {"Platelets": 0, "RBC": 2}
    asked = request(teacher="bccd", taught={"WBC": "white", "RBC": "white"})
    assert set(teacher_of(asked, ["white"], repository).labels.values()) == {0}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"teacher": "bccd"}, "--taught RBC=cell"),
        ({"teacher": "bccd", "taught": {"person": "cell"}}, "no class 'person'"),
        ({"teacher": "bccd", "taught": {"RBC": "cells"}}, "no class 'cells'; known: cell"),
        ({"teacher": "camvid"}, "its task is segmentation"),
    ],
)
def test_a_head_that_cannot_teach_is_refused(models, fields, word):
    with pytest.raises(InvalidRequestError, match=word):
        teacher_of(request(**fields), ["cell"], Repository(models))


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"task": "segmentation", "teacher": "camvid"}, "for task detection"),
        ({"task": "detection", "unlabelled": "folder"}, "need a teacher"),
        ({"task": "detection", "taught": {"a": "b"}}, "need a teacher"),
    ],
)
def test_a_request_for_what_cannot_be_taught_is_refused(fields, word):
    with pytest.raises(InvalidRequestError, match=word):
        parse_request({"name": "x", "data": "x", **fields})


def test_a_folder_without_pictures_teaches_nothing(models, tmp_path):
    teacher = teacher_of(request(teacher="bccd"), ["RBC"], Repository(models))
    with pytest.raises(InvalidRequestError, match="no pictures"):
        taught(teacher, [], str(tmp_path), QUIET)


def test_what_is_found_without_a_label_is_an_object_or_nothing_to_learn(models, datasets, tmp_path):
    data = read_dataset(datasets / "bccd", task="detection")
    teacher = teacher_of(request(teacher="bccd"), data.classes, Repository(models))
    sample = data.of_split("test")[0]
    white = data.classes.index("WBC")
    (tmp_path / "one.jpg").write_bytes(sample.read())
    forgotten = replace(sample, objects=tuple(each for each in sample.objects if each.label != white))
    labelled, alone = taught(teacher, [forgotten], str(tmp_path), QUIET)[0]
    kept, further = labelled.objects[: len(forgotten.objects)], labelled.objects[len(forgotten.objects) :]
    assert kept == forgotten.objects
    assert all(each.crowd for each in further)
    for cell in (each for each in sample.objects if each.label == white):
        assert any(each.label == white and overlap(each.box, cell.box) > 0.5 for each in further)
        assert any(
            each.label == white and not each.crowd and overlap(each.box, cell.box) > 0.5 for each in alone.objects
        )
