"""Data sets with named points, in any of their layouts."""

from pathlib import Path

from trunkline.training.data.coco_layout import read_coco
from trunkline.training.data.csv_points import read_csv_points
from trunkline.training.data.dataset import Dataset
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.yolo_layout import read_yolo


def read_points(root: Path, table: Path | None, remarks: Remarks) -> Dataset | None:
    """The data set of a folder, of a file of COCO, or of a table; None where there are no points.

    table: the CSV file, where there is one; then nothing else is looked for. Raises as the readers do.
    """
    if table is not None:
        return read_csv_points(table, remarks)
    if root.is_file():
        return read_coco(root, remarks, points=True) if root.suffix.lower() == ".json" else None
    return read_coco(root, remarks, points=True) or read_yolo(root, remarks, points=True)
