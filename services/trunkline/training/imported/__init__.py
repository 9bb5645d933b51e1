"""Models that were trained elsewhere, made into heads on `image`."""

from trunkline.training.imported.request import ImportReport, ImportRequest
from trunkline.training.imported.yolo import import_yolo

__all__ = ["ImportReport", "ImportRequest", "import_yolo"]
