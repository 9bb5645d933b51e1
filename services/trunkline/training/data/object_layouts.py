"""Data sets with objects, in any of their layouts."""

from pathlib import Path

from trunkline.training.data.coco_layout import read_coco
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.voc_layout import read_voc
from trunkline.training.data.yolo_layout import read_yolo


def read_objects(root: Path, remarks: Remarks) -> Dataset | None:
    """The data set of a folder, or of a JSON file of COCO; None where there are no objects.

    Of several layouts in one folder the first of COCO, VOC, YOLO is taken. Raises as the three do.
    """
    if root.is_file():
        return read_coco(root, remarks) if root.suffix.lower() == ".json" else None
    return read_coco(root, remarks) or read_voc(root, remarks) or read_yolo(root, remarks)
