"""Models that were trained elsewhere, made into heads on `image`."""

from trunkline.training.imported.bounded import import_detector
from trunkline.training.imported.request import ImportReport, ImportRequest

__all__ = ["ImportReport", "ImportRequest", "import_detector"]
