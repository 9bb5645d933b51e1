"""Classes of a head by the names that the data has for them."""

import pytest

from trunkline.core.errors import InvalidRequestError
from trunkline.core.results import Box, Classification, Detection, Detections, ScoredLabel
from trunkline.training.class_names import ClassNames

LABELS = ("person", "car", "dog", "truck")


def found(index):
    return Detection(Box(0, 0, 1, 1), ScoredLabel(index, LABELS[index], 0.5), None)


def test_classes_are_renamed_in_their_place():
    names = ClassNames("coco", "detection", LABELS, {"person": "pedestrian"})
    assert names.classes == ("pedestrian", "car", "dog", "truck")
    (told,) = names.told([Detections((found(0), found(3)))])
    assert [each.label for each in told.objects] == [ScoredLabel(0, "pedestrian", 0.5), ScoredLabel(3, "truck", 0.5)]


def test_several_classes_of_objects_become_one():
    names = ClassNames("coco", "detection", LABELS, {"car": "vehicle", "truck": "vehicle"})
    assert names.classes == ("person", "vehicle", "dog")
    (told,) = names.told([Detections(tuple(map(found, range(4))))])
    assert [(each.label.index, each.label.label) for each in told.objects] == [
        (0, "person"),
        (1, "vehicle"),
        (2, "dog"),
        (1, "vehicle"),
    ]


def test_only_objects_can_share_a_class():
    with pytest.raises(InvalidRequestError, match="two classes of head 'x' would have one name: only classes of det"):
        ClassNames("x", "classification", LABELS, {"car": "truck"})
    plain = Classification((ScoredLabel(1, "car", 0.9),))
    assert ClassNames("x", "classification", LABELS, {"car": "automobile"}).told([plain]) == [plain]


def test_a_class_that_the_head_does_not_have_is_named():
    with pytest.raises(InvalidRequestError, match="head 'coco' has no class 'persn'; did you mean 'person'"):
        ClassNames("coco", "detection", LABELS, {"persn": "pedestrian"})
