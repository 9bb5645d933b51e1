"""Data sets with objects, in any of their layouts."""

from pathlib import Path

from trunkline.training.data.coco_layout import read_coco
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.tools import read_tool_objects
from trunkline.training.data.voc_layout import read_voc
from trunkline.training.data.yolo_layout import read_yolo


def read_objects(root: Path, remarks: Remarks) -> Dataset | None:
    """The data set of a folder, or of a file of COCO or of a tool that labels; None where there are no objects.

    Of several layouts in one folder the first of COCO, VOC, YOLO and the tools' own is taken. Raises as they do.
    """
    coco = read_coco(root, remarks) if root.is_dir() or root.suffix.lower() == ".json" else None
    plain = coco or (read_voc(root, remarks) or read_yolo(root, remarks) if root.is_dir() else None)
    return plain or read_tool_objects(root, remarks)
