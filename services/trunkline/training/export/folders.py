"""What a bundle folder holds, written aside before it is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trunkline.core.bundle import (
    CARD_FILE,
    LABELS_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    Bundle,
    HeadManifest,
    write_golden,
)
from trunkline.core.labels import labels_text
from trunkline.core.publishing import Manifest, manifest_text
from trunkline.heads.discovery import head_class


@dataclass(frozen=True)
class BundleContent:
    """All that one bundle folder holds. golden: inputs and outputs by name."""

    model: bytes
    manifest: Manifest
    golden: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]
    card: str
    labels: tuple[str, ...] = ()

    def write(self, folder: Path) -> Path:
        """Make `folder` and all files in it. Returns the folder.

        Raises ModelInvalidError for a head that its task would not load, as with other labels than outputs.
        """
        folder.mkdir()
        (folder / MODEL_FILE).write_bytes(self.model)
        (folder / MANIFEST_FILE).write_text(manifest_text(self.manifest), encoding="utf-8")
        (folder / CARD_FILE).write_text(self.card, encoding="utf-8")
        write_golden(folder, *self.golden)
        if self.labels:
            (folder / LABELS_FILE).write_text(labels_text(self.labels), encoding="utf-8")
        if isinstance(self.manifest, HeadManifest):
            head_class(self.manifest.task)(Bundle(folder, self.manifest))
        return folder
