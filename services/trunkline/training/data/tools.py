"""Data sets as the tools write them that people label with."""

from dataclasses import replace
from pathlib import Path

from trunkline.training.data.cvat_layout import read_cvat
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.label_studio_layout import read_label_studio
from trunkline.training.data.labelled import ToolData
from trunkline.training.data.labelme_layout import read_labelme
from trunkline.training.data.metadata_layout import read_metadata
from trunkline.training.data.one_hot_layout import read_one_hot
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.via_layout import read_via

_READERS = (read_labelme, read_cvat, read_label_studio, read_metadata, read_via, read_one_hot)


def read_tool_objects(root: Path, remarks: Remarks) -> Dataset | None:
    """Objects in a folder, or in the file of a tool; None where there are none."""
    found = _read(root)
    dataset = found.objects() if found is not None else None
    return _with(dataset, remarks)


def read_tags(root: Path, remarks: Remarks) -> Dataset | None:
    """Pictures with a class each; None where there are none."""
    found = _read(root)
    dataset = found.tagged() if found is not None else None
    return _with(dataset, remarks)


def _read(root: Path) -> ToolData | None:
    for read in _READERS:
        own = Remarks()
        found = read(root, own)
        if found is not None:
            return found
    return None


def _with(dataset: Dataset | None, remarks: Remarks) -> Dataset | None:
    """The same data, whose remarks are those of the caller and its own."""
    if dataset is None:
        return None
    remarks.extend(dataset.remarks)
    return replace(dataset, remarks=remarks)
