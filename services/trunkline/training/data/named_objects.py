"""Objects by the names of their classes, before the classes of the data are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trunkline.core.results import Box
from trunkline.training.data.dataset import Sample
from trunkline.training.data.objects import ObjectTruth
from trunkline.training.data.outlines import Outline


@dataclass(frozen=True)
class NamedObject:
    """As ObjectTruth. name: which of the file it is, for messages."""

    class_name: str
    box: Box
    crowd: bool
    name: str
    mask: Outline | None = None


def with_objects(sample: Sample, objects: Sequence[NamedObject], index: Mapping[str, int]) -> Sample:
    """The sample with these. index: labels by the names of classes."""
    found = (ObjectTruth(index[each.class_name], each.box, each.mask, each.crowd, each.name) for each in objects)
    return replace(sample, objects=tuple(found))
